// SPDX-License-Identifier: Apache-2.0
#include "fs/proof.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "storage/base/checksum.h"
#include "storage/format.h"

namespace spillfs::fs {
namespace {

using Sums = std::vector<std::uint64_t>;

// Exactly `count` bytes, or none where the file is shorter.
Result<std::vector<std::byte>> read_all(storage::File& file, std::uint64_t offset,
                                        std::uint64_t count) {
  std::vector<std::byte> bytes(count);
  if (SPILLFS_TRY(file.read(bytes, offset)) != count) bytes.clear();
  return bytes;
}

// None when the record is not there.
Result<std::optional<Sums>> sums_of_record(const index::Inode& inode, storage::File& file,
                                           const storage::StoreId& store) {
  const Location& at = inode.location;
  const auto superblock = SPILLFS_TRY(read_all(file, 0, storage::kSuperblockSize));
  if (superblock.empty() || !storage::verify_superblock(superblock, store, at.segment)) {
    return std::nullopt;
  }
  const auto prefix =
      SPILLFS_TRY(read_all(file, at.record_offset, at.data_offset - at.record_offset));
  if (prefix.empty()) return std::nullopt;
  auto record = storage::decode_record_header(prefix);
  const bool same = record && record->info.inode == inode.id &&
                    record->info.data_length == at.length &&
                    record->layout.length == at.record_length;
  if (!same) return std::nullopt;
  return std::move(record->info.sums);
}

Result<bool> matches(storage::File& file, std::uint64_t offset, std::uint64_t length,
                     const Sums& sums, const std::stop_token& stop) {
  if (sums.size() != chunk_count(length)) return false;
  for (std::uint64_t sum : sums) {
    if (stop.stop_requested()) return fail(ECANCELED, "the mount ends");
    const std::uint64_t count = std::min(kChunk, length);
    const auto chunk = SPILLFS_TRY(read_all(file, offset, count));
    if (chunk.empty() || xxh3(chunk) != sum) return false;
    offset += count;
    length -= count;
  }
  return true;
}

}  // namespace

Result<bool> has_its_bytes(const index::Inode& inode, index::Index& index,
                           storage::SegmentStore& segments, const std::stop_token& stop) {
  const Location& at = inode.location;
  if (at.placement == Placement::kNowhere) return true;
  const bool fused = at.placement == Placement::kFused;
  auto opened = segments.device(at.directory).open(storage::segment_path(at));
  if (!opened && opened.error().code == ENOENT) return false;
  const std::shared_ptr<storage::File> file = SPILLFS_TRY(std::move(opened));
  if (fused) {
    const auto sums = SPILLFS_TRY(sums_of_record(inode, *file, segments.store_id()));
    return sums ? matches(*file, at.data_offset, at.length, *sums, stop) : Result<bool>(false);
  }
  if (SPILLFS_TRY(file->status()).size < at.length) return false;
  if (at.length != 0 && !inode.sums_valid) return false;
  return matches(*file, 0, at.length,
                 SPILLFS_TRY(index.sums(at.segment, 0, chunk_count(at.length))), stop);
}

}  // namespace spillfs::fs
