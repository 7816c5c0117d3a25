// SPDX-License-Identifier: Apache-2.0
// A file that may be Ray's: read as it streams in, in pieces of any length, and from its end. The
// first byte of an input says how it is cut.
#include <algorithm>

#include "storage/ray_scanner.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::RayHeader;
using storage::RayObject;
using storage::RayTail;

std::vector<RayObject> found_in(Bytes file, RayTail tail) {
  const auto read = [file](MutableBytes into, std::uint64_t offset) -> Result<> {
    if (offset > file.size() || into.size() > file.size() - offset) broken("reads are in the file");
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  };
  return must(storage::find_ray_objects(read, file.size(), tail), "objects are found");
}

void check(Bytes file, std::size_t step) {
  storage::RayScanner scanner;
  for (Bytes rest = file; !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
    scanner.update(rest.first(std::min(step, rest.size())));
  }
  require_equal(scanner.position(), file.size(), "every byte is seen");
  const auto objects = found_in(file, RayTail::kMayBeCut);
  require_equal(objects.size(), scanner.objects(), "as many are found as were counted");
  require_equal(found_in(file, RayTail::kWhole).size(), scanner.objects_if_whole(),
                "as many are found in a whole file as were counted");
  std::uint64_t at = 0;
  for (const RayObject& object : objects) {
    require_equal(object.offset, at, "an object starts where the one before it ends");
    at = object.end();
  }
  if (at > file.size()) broken("objects are in the file");
}

std::string record(const std::string& owner, const std::string& metadata, const std::string& data) {
  const RayHeader header{.owner_address_length = owner.size(),
                         .metadata_length = metadata.size(),
                         .data_length = data.size()};
  return std::string(as_text(bytes_of(header))) + owner + metadata + data;
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string one = record("owner", "PYTHON", "buffer");
  return {"\7" + one + record("", "m", "") + record("o", "", std::string(5000, 'b')),
          "\1" + one + one.substr(0, 30), "\x18" + one + std::string(24, '\0'), "\xff" + one};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto file = spillfs::fuzz::text_of(data + 1, size - 1);
  spillfs::fuzz::check(spillfs::as_bytes(file), std::max<std::size_t>(data[0], 1));
  return 0;
}
