// SPDX-License-Identifier: Apache-2.0
// The header of a record in a fused segment.
#include <array>

#include "storage/format.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

using storage::RecordHeader;
using storage::RecordInfo;

// `record` with the crc that it should have, so that what the crc covers is looked at, too.
void fix_crc(std::vector<std::byte>& record) {
  const auto prefix = storage::record_prefix_length(record);
  if (!prefix || *prefix > record.size()) return;
  const auto field = MutableBytes(record).subspan(offsetof(RecordHeader, crc), 4);
  std::fill(field.begin(), field.end(), std::byte{0});
  const std::uint32_t crc = crc32c(Bytes(record).first(*prefix));
  std::copy_n(bytes_of(crc).begin(), sizeof(crc), field.begin());
}

void check(Bytes bytes) {
  const auto prefix = storage::record_prefix_length(bytes);
  const auto decoded = storage::decode_record_header(bytes);
  accepted(prefix, EIO);
  if (!accepted(decoded, EIO)) return;
  require_equal(prefix.value(), decoded->layout.data_offset, "the prefix ends at the buffer");
  require_equal(decoded->layout.data_offset % storage::kRecordAlignment, 0U,
                "the buffer is aligned");
  const auto again = must(storage::encode_record_prefix(decoded->info), "what was decoded encodes");
  require_equal(as_text(again), as_text(bytes.first(*prefix)), "it encodes to the same bytes");
  const auto layout = must(storage::record_layout(decoded->info), "what was decoded has a layout");
  require_equal(layout.length, decoded->layout.length, "the layouts agree");
}

std::string record(RecordInfo info, std::string_view payload) {
  const std::array parts{as_bytes(payload)};
  storage::measure(info, parts);
  return std::string(as_text(storage::encode_record_prefix(info).value())).append(payload);
}

}  // namespace

std::vector<std::string> seeds() {
  return {record({.sequence = 7, .inode = InodeId{42}, .mode = 0100644, .path = "/a/b"}, "payload"),
          record({.inode = InodeId{1}, .uid = 1, .gid = 2}, ""),
          record({.path = "/f", .owner_address = "owner", .metadata = "PYTHON"}, "1"),
          record({.path = "/two chunks"}, std::string(kChunk + 1, 'x')).substr(0, 200)};
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = spillfs::as_bytes(spillfs::fuzz::text_of(data, size));
  spillfs::fuzz::check(bytes);
  std::vector<std::byte> fixed(bytes.begin(), bytes.end());
  spillfs::fuzz::fix_crc(fixed);
  spillfs::fuzz::check(fixed);
  return 0;
}
