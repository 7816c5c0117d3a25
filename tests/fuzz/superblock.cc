// SPDX-License-Identifier: Apache-2.0
// The first 4 KiB of a fused segment.
#include <algorithm>

#include "storage/format.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::Superblock;

void check(Bytes bytes) {
  const auto decoded = storage::decode_superblock(bytes);
  if (!accepted(decoded, EIO)) return;
  const auto again = storage::encode_superblock(decoded->store, decoded->segment);
  require_equal(as_text(again), as_text(bytes.first(storage::kSuperblockSize)),
                "a superblock encodes to the same bytes");
  if (!storage::verify_superblock(bytes, decoded->store, decoded->segment)) {
    broken("a superblock is that of its store and segment");
  }
  const SegmentId other{number(decoded->segment) + 1};
  if (storage::verify_superblock(bytes, decoded->store, other)) {
    broken("a superblock is not that of another segment");
  }
}

// The bytes followed by zeros, with the crc that they should have.
std::vector<std::byte> completed(Bytes bytes) {
  std::vector<std::byte> block(bytes.begin(), bytes.end());
  block.resize(storage::kSuperblockSize);
  const auto field = MutableBytes(block).subspan(offsetof(Superblock, crc), 4);
  std::fill(field.begin(), field.end(), std::byte{0});
  const std::uint32_t crc = crc32c(block);
  std::copy_n(bytes_of(crc).begin(), sizeof(crc), field.begin());
  return block;
}

}  // namespace

std::vector<std::string> seeds() {
  const auto block = storage::encode_superblock({std::byte{7}}, SegmentId{3});
  const std::string whole(as_text(block));
  return {whole, whole.substr(0, offsetof(Superblock, zero) + 1)};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = spillfs::as_bytes(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check(bytes);
  spillfs::fuzz::check(spillfs::fuzz::completed(bytes));
  return 0;
}
