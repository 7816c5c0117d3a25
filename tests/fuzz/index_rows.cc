// SPDX-License-Identifier: Apache-2.0
// The index's values. The first byte of an input says which kind of row the rest is.
#include "index/codec.h"
#include "tests/fuzz/fuzz.h"

namespace spillfs::fuzz {
namespace {

constexpr InodeId kInode{5};
constexpr std::uint64_t kCookie = 256;
constexpr SegmentId kSegment{9};

// An inode's row of an earlier version encodes as one of today's, which encodes to the same bytes.
void check_inode(std::string_view row) {
  const auto decoded = index::decode_inode(kInode, row);
  if (!accepted(decoded, EIO)) return;
  const std::string today = index::encode(*decoded);
  if (row.front() == today.front()) require_equal(today, row, "a row encodes to the same bytes");
  const auto again = must(index::decode_inode(kInode, today), "an encoded row decodes");
  require_equal(index::encode(again), today, "an encoded row encodes to the same bytes");
}

// A row that decodes encodes to the same bytes.
template <class T>
void check(const Result<T>& decoded, std::string_view row) {
  if (!accepted(decoded, EIO)) return;
  require_equal(index::encode(*decoded), row, "a row encodes to the same bytes");
}

void check_sums(std::string_view row) {
  const auto sums = index::decode_sums(row);
  if (!accepted(sums, EIO)) return;
  require_equal(index::encode(*sums, 0, sums->size()), row, "sums encode to the same bytes");
}

// The merge that RocksDB does, of a row and an operand at its end.
void check_addition(std::string_view bytes) {
  const std::size_t at = bytes.size() - std::min(bytes.size(), sizeof(index::CounterRow));
  const std::string_view operand = bytes.substr(at);
  const std::string before(bytes.substr(0, at));
  std::string row = before;
  if (!index::add_counters(row, operand)) {
    require_equal(row, before, "a refused addition changes nothing");
    return;
  }
  require_equal(row.size(), before.size(), "an addition keeps a row's length");
}

void check_keys(std::string_view bytes) {
  const auto number = index::number_in(bytes, 0);
  if (!accepted(number, EIO)) return;
  require_equal(index::key_of(*number), bytes.substr(0, 8), "a key's number makes the same key");
}

void check_row(unsigned kind, std::string_view row) {
  switch (kind % 8) {
    case 0:
      return check_inode(row);
    case 1:
      return check(index::decode_dentry(kCookie, row), row);
    case 2:
      return check(index::decode_segment(kSegment, row), row);
    case 3:
      return check(index::decode_counters(row), row);
    case 4:
      return check(index::decode_number(row), row);
    case 5:
      return check_sums(row);
    case 6:
      return check_addition(row);
    default:
      return check_keys(row);
  }
}

}  // namespace

std::vector<std::string> seeds() {
  const index::Inode file{.id = kInode,
                          .mode = 0100644,
                          .links = 1,
                          .size = 12,
                          .accessed = {-1, 999'999'999},
                          .location = {.placement = Placement::kFused,
                                       .directory = DirectoryId{1},
                                       .segment = kSegment,
                                       .record_offset = 4096,
                                       .record_length = 144,
                                       .data_offset = 4224,
                                       .length = 12},
                          .sums_valid = true,
                          .has_xattrs = true,
                          .parent = kRootInode,
                          .text = "name"};
  const index::Segment segment{
      .id = kSegment, .kind = SegmentKind::kPrivate, .inode = kInode, .bytes = 1};
  const std::string counters = index::encode(index::CounterRow{.first = 1, .second = -2});
  std::vector<std::string> rows{
      index::encode(file),
      index::encode(index::Dentry{.inode = kInode, .type = 0100000, .name = "name"}),
      index::encode(segment),
      counters,
      index::encode(std::uint64_t{7}),
      index::encode({1, 2, 3}, 1, 2),
      index::encode(segment) + counters,
      index::key_of(std::uint64_t{7})};
  for (std::size_t kind = 0; kind < rows.size(); ++kind) {
    rows[kind].insert(0, 1, static_cast<char>(kind));
  }
  std::string older = rows.front();  // without `sealed_in`, behind which the text lies
  older.at(1) = static_cast<char>(index::kRowVersion);
  older.erase(older.size() - file.text.size() - sizeof(std::uint64_t), sizeof(std::uint64_t));
  rows.push_back(std::move(older));
  return rows;
}

}  // namespace spillfs::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) spillfs::fuzz::check_row(data[0], spillfs::fuzz::text_of(data + 1, size - 1));
  return 0;
}
