// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/proof.h"

#include <algorithm>

#include "storage/base/checksum.h"
#include "storage/format.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kMostHoles = std::uint64_t{64} * index::kSumsPerRow;  // chunks a step

// Exactly `count` bytes, or none where the file is shorter.
Result<std::vector<std::byte>> read_all(storage::File& file, std::uint64_t offset,
                                        std::uint64_t count) {
  std::vector<std::byte> bytes(count);
  if (SPILLFS_TRY(file.read(bytes, offset)) != count) bytes.clear();
  return bytes;
}

}  // namespace

Result<bool> ByteProof::open() {
  const Location& at = inode_.location;
  auto opened = segments_.device(at.directory).open(storage::segment_path(at));
  if (!opened && opened.error().code == ENOENT) return false;
  file_ = SPILLFS_TRY(std::move(opened));
  if (at.placement == Placement::kFused) return open_record(segments_.store_id());
  if (SPILLFS_TRY(file_->status()).size < at.length) return false;
  if (at.length != 0 && !inode_.sums_valid) return false;
  sums_ = ChunkSums(index_, at.segment, chunk_count(at.length));
  data_.emplace(*file_);
  return true;
}

// False when the record is not there.
Result<bool> ByteProof::open_record(const storage::StoreId& store) {
  const Location& at = inode_.location;
  const auto superblock = SPILLFS_TRY(read_all(*file_, 0, storage::kSuperblockSize));
  if (superblock.empty() || !storage::verify_superblock(superblock, store, at.segment)) {
    return false;
  }
  const auto prefix =
      SPILLFS_TRY(read_all(*file_, at.record_offset, at.data_offset - at.record_offset));
  if (prefix.empty()) return false;
  auto record = storage::decode_record_header(prefix);
  const bool same = record && record->info.inode == inode_.id &&
                    record->info.data_length == at.length &&
                    record->layout.length == at.record_length &&
                    record->info.sums.size() == chunk_count(at.length);
  if (same) sums_ = ChunkSums(std::move(record->info.sums));
  return same;
}

Result<bool> ByteProof::matches(std::uint64_t chunk) {
  const auto sum = sums_.at(chunk);
  if (!sum && sum.error().code == ENODATA) return false;
  if (!sum) return tl::unexpected(sum.error());
  const std::uint64_t offset = chunk * kChunk;
  const std::uint64_t length = std::min(kChunk, inode_.location.length - offset);
  if (data_ && data_->is_hole(offset, length)) return storage::sum_of_zeros(length) == *sum;
  read_ += length;
  chunk_.resize(length);
  const std::size_t got = SPILLFS_TRY(file_->read(chunk_, inode_.location.data_offset + offset));
  return got == length && xxh3(chunk_) == *sum;
}

Result<ByteProof::Verdict> ByteProof::step(std::uint64_t bytes) {
  read_ = 0;
  if (inode_.location.placement == Placement::kNowhere) return Verdict::kWhole;
  if (file_ == nullptr && !SPILLFS_TRY(open())) return Verdict::kLost;
  const std::uint64_t first = next_;
  while (next_ < sums_.count()) {
    if (!SPILLFS_TRY(matches(next_))) return Verdict::kLost;
    ++next_;
    if (read_ >= bytes || next_ - first >= kMostHoles) break;
  }
  return next_ < sums_.count() ? Verdict::kGoesOn : Verdict::kWhole;
}

}  // namespace spillfs::fs
