// SPDX-License-Identifier: Apache-2.0
// The urls that name objects. An input is a url, and the base of another one.
#include "storage/external/object_url.h"

#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::external::create_url_with_offset;
using storage::external::ObjectUrl;
using storage::external::parse_url_with_offset;
using storage::external::survives_parsing;

void check_parsing(std::string_view url) {
  const auto parsed = parse_url_with_offset(url);
  // "s3:////host/a" is one host less each time.
  if (!accepted(parsed, EINVAL) || !survives_parsing(parsed->base)) return;
  const std::string again = create_url_with_offset(parsed->base, parsed->offset, parsed->size);
  require_equal(must(parse_url_with_offset(again), "what was parsed can be made"), *parsed,
                "a url comes back as it was");
}

void check_making(std::string_view base) {
  const ObjectUrl url{.base = std::string(base), .offset = base.size(), .size = ~std::uint64_t{0}};
  const auto parsed = parse_url_with_offset(create_url_with_offset(base, url.offset, url.size));
  require_equal(parsed && *parsed == url, survives_parsing(base), "bases that survive are known");
}

}  // namespace

std::vector<std::string> seeds() {
  return {"s3://b/k%20?offset=12&size=34", "file:/a;b;?size=+1_0%20&offset=%31#part",
          " HTTP://[::1]:80/a b?a=b&&size=&size=2&offset=1",
          "/tmp/ray_spilled_objects/ab-multi-2?offset=18446744073709551615&size=0",
          "s3:////host/a?offset=1&size=-0"};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillfs::fuzz::check_parsing(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check_making(spillfs::fuzz::text_of(data, size));
  return 0;
}
