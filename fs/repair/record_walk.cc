// SPDX-License-Identifier: Apache-2.0
#include "fs/repair/record_walk.h"

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

using storage::kRecordAlignment;
using storage::RecordHeader;

Result<storage::DecodedRecord> record_at(storage::DiskReader& disk, std::uint64_t offset) {
  const auto head = SPILLFS_TRY(disk.read(offset, sizeof(RecordHeader)));
  const std::uint64_t length = SPILLFS_TRY(storage::record_prefix_length(head));
  return storage::decode_record_header(SPILLFS_TRY(disk.read(offset, length)));
}

// Where the record at `offset` ends by what its header says; 0 when that says nothing.
std::uint64_t claimed_end(storage::DiskReader& disk, std::uint64_t offset) {
  const auto head = disk.read(offset, sizeof(RecordHeader));
  if (!head) return 0;
  const auto prefix = storage::record_prefix_length(*head);
  if (!prefix) return 0;
  const auto data = load<RecordHeader>(*head).data_length;
  return offset + round_up(*prefix + data, kRecordAlignment);
}

// What was set aside and never written, or lost.
bool is_zero(storage::DiskReader& disk, std::uint64_t offset) {
  const auto word = disk.read(offset, sizeof(std::uint64_t));
  return word && word->size() == sizeof(std::uint64_t) && load<std::uint64_t>(*word) == 0;
}

}  // namespace

Result<> walk_records(storage::DiskReader& disk, std::uint64_t size, const RecordVisitor& visitor) {
  Trust trust = Trust::kCertain;
  bool in_damage = false;  // told already
  for (std::uint64_t at = storage::kSuperblockSize; at < size;) {
    auto record = record_at(disk, at);
    if (record) {
      in_damage = false;
      const std::uint64_t length = record->layout.length;
      SPILLFS_TRY(visitor.found({.offset = at, .trust = trust, .record = *std::move(record)}));
      at += length;
      continue;
    }
    if (is_zero(disk, at)) {
      at += kRecordAlignment;
      continue;
    }
    if (!in_damage) visitor.damaged(at, record.error().context);
    in_damage = true;
    const std::uint64_t end = claimed_end(disk, at);
    if (trust == Trust::kCertain && end != 0 && (end == size || record_at(disk, end))) {
      at = end;
      continue;
    }
    trust = Trust::kDoubtful;
    at += kRecordAlignment;
  }
  return {};
}

}  // namespace spillfs::fs
