// SPDX-License-Identifier: Apache-2.0
// What stands behind -o.
#include "fs/config/options.h"

#include "tests/fuzz/fuzz.h"
#include "tests/support/shown_options.h"

namespace spillfs::fuzz {
namespace {

// What is shown may be given again.
std::string shown_as_options(const fs::MountOptions& options) {
  std::string text;
  for (const fs::OptionSpec& spec : fs::option_table()) {
    if (!spec.show || spec.value.empty()) continue;
    text += fs::option_text(spec.name, spec.show(options)) + ",";
  }
  return text;
}

void check(std::string_view text) {
  fs::MountOptions options;
  const std::string defaults = tests::format_options(options);
  if (!accepted(fs::parse_options(text, options), EINVAL)) {
    require_equal(tests::format_options(options), defaults, "refused options change nothing");
    return;
  }
  fs::MountOptions again{.allow_other = options.allow_other};
  must(fs::parse_options(shown_as_options(options), again), "shown options can be given");
  require_equal(tests::format_options(again), tests::format_options(options),
                "and show as the same");
  require_equal(again.space_wait, options.space_wait, "no millisecond is lost");
}

}  // namespace

std::vector<std::string> seeds() {
  return {"quota=10GiB,fuse_limit=1.5m,segment_size=64MiB,pool=0",
          "staging=1g,block_cache=1GiB,index_reserve=5,write=direct,write_behind=16MiB",
          "read_ahead=4096,background_checksums=no,threads=8,space_wait=0.5s,without=all",
          "without=passthrough:resend,data=/a:/b,log_level=warning,allow_other",
          "space_wait=nan,no_allow_other,,quota=1,space_wait=1.0019,quotta=7",
          "quota=1.5,pool=10GB,user_quota=0.0001k,space_wait=0.0001",
          R"(data=/a\,b:/c\:d\\:/e,index_reserve=auto)"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillfs::fuzz::check(spillfs::fuzz::text_of(data, size));
  return 0;
}
