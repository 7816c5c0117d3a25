// SPDX-License-Identifier: Apache-2.0
// What stands in a configuration file.
#include "fs/config/config_file.h"

#include "fs/config/config_text.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/shown_options.h"

namespace spillfs::fuzz {
namespace {

void check(std::string_view text) {
  const auto file = fs::parse_config(text, "/etc/mount.toml");
  if (!accepted(file, EINVAL)) return;
  const auto options = must(fs::parse_options(file->options), "what the file says are options");
  const std::string shown = fs::config_text(options, {.store = file->store,
                                                      .store_origin = "here",
                                                      .mountpoint = file->mountpoint,
                                                      .mountpoint_origin = "here",
                                                      .data = {},
                                                      .read_ahead = {}});
  const auto again = must(fs::parse_config(shown, "/etc/mount.toml"), "what is shown is a file");
  require_equal(again.store, file->store, "of the same store");
  require_equal(again.mountpoint, file->mountpoint, "on the same mountpoint");
  const auto same = must(fs::parse_options(again.options), "with options");
  require_equal(tests::format_options(same), tests::format_options([&] {
                  fs::MountOptions resolved = options;
                  resolved.allow_other = fs::others_may_use(options);
                  return resolved;
                }()),
                "that are the same");
}

}  // namespace

std::vector<std::string> seeds() {
  return {"store = \"/a\"\nmountpoint = '/b,\"c'\nquota = \"10GiB\"\npool = 4096\n",
          "space_wait = 2.5\nthreads = 8\ndata = [\"/a,b\", \"c:d\", '\\e']\nwithout = []",
          "allow_other = true\nbackground_checksums = false\ndurability = \"interval=1s\"",
          "object_spilling_config = '{\"type\": \"filesystem\", \"params\": {\"directory_path\": "
          "[\"/a\", \"/b\"]}}'",
          "a.b = 1",
          "[x]\ny = 1979-05-27",
          "quota = 1e400",
          "data = [[[]]]",
          "ľ = 1 # ľ",
          "a = 1b'''''\xef\xba\xbf",
          "store = \"\"\"\\ľ\"\"\""};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillfs::fuzz::check(spillfs::fuzz::text_of(data, size));
  return 0;
}
