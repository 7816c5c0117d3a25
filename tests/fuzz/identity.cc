// SPDX-License-Identifier: Apache-2.0
// The xattr that says whose a private segment is.
#include "storage/format.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {

std::vector<std::string> seeds() {
  storage::Identity whole{.store = {std::byte{0xab}}, .inode = InodeId{42}, .length = 1234};
  whole.mode = 0100644;
  whole.uid = 1000;
  whole.gid = 100;
  whole.path = "/a b/c";
  const storage::Identity highest{.inode = InodeId{~std::uint64_t{0}},
                                  .length = ~std::uint64_t{0},
                                  .mode = ~std::uint32_t{0},
                                  .path = {}};
  return {storage::encode_identity(whole), storage::encode_identity(highest),
          "spillfs1 ab000000000000000000000000000000 42 1234 /a b/c"};
}

}  // namespace spillfs::fuzz

// Numbers may be written in other ways than ours ("007"), so texts need not come back as they were.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spillfs;  // NOLINT
  const auto decoded = storage::decode_identity(fuzz::text_of(data, size));
  if (!fuzz::accepted(decoded, EIO)) return 0;
  const std::string text = storage::encode_identity(*decoded);
  fuzz::require_equal(fuzz::must(storage::decode_identity(text), "what is encoded decodes"),
                      *decoded, "an identity comes back as it was");
  return 0;
}
