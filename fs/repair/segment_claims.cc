// SPDX-License-Identifier: Apache-2.0
#include "fs/repair/segment_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "fs/control/control_files.h"
#include "storage/base/checksum.h"
#include "storage/disk_reader.h"

namespace spillfs::fs {
namespace {

bool matches_sums(storage::DiskReader& disk, const FoundRecord& found) {
  const auto& [info, layout] = found.record;
  const std::uint64_t start = found.offset + layout.data_offset;
  for (std::size_t chunk = 0; chunk < info.sums.size(); ++chunk) {
    const std::uint64_t length = std::min(kChunk, info.data_length - chunk * kChunk);
    const auto bytes = disk.read(start + chunk * kChunk, length);
    if (!bytes || bytes->size() != length || xxh3(*bytes) != info.sums[chunk]) return false;
  }
  return true;
}

bool is_inode(InodeId id) { return number(id) > number(kRootInode) && !ControlFiles::owns(id); }

}  // namespace

std::string name_of(const ClaimedSegment& segment) {
  return storage::segment_name(segment.found.kind, segment.found.id);
}

void SegmentClaims::damage(ClaimedSegment& segment, std::uint64_t offset, const std::string& what) {
  ++segment.damaged;
  ++report_.damaged;
  tell_(fmt::format("segment {} is damaged at {}: {}", name_of(segment), offset, what));
}

void SegmentClaims::leave_out(ClaimedSegment& segment, const std::string& why) {
  segment.ours = false;
  ++report_.left_out;
  tell_(fmt::format("segment {} is left as it is: {}", name_of(segment), why));
}

Result<> SegmentClaims::collect(const TellProgress& progress) {
  for (DirectoryId directory : store_.directories()) {
    for (const storage::FoundSegment& found : SPILLFS_TRY(store_.list(directory))) {
      segments_.push_back({.found = found, .directory = directory});
      highest_segment_ = std::max(highest_segment_, number(found.id));
    }
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const auto& a, const auto& b) { return a.found.id < b.found.id; });
  for (std::uint32_t position = 0; position < segments_.size(); ++position) {
    if (progress) progress(position, segments_.size());
    const bool fused = segments_[position].found.kind == SegmentKind::kFused;
    SPILLFS_TRY(fused ? collect_fused(position) : collect_private(position));
  }
  return {};
}

Result<> SegmentClaims::collect_fused(std::uint32_t position) {
  ClaimedSegment& segment = segments_[position];
  const std::string path = storage::segment_path(SegmentKind::kFused, segment.found.id);
  auto file = SPILLFS_TRY(store_.device(segment.directory).open(path));
  const std::uint64_t size = SPILLFS_TRY(file->status()).size;
  segment.size = size - std::min(size, storage::kSuperblockSize);
  storage::DiskReader disk(file);
  if (!SPILLFS_TRY(check_superblock(segment, disk))) return {};
  const bool anew = segment.damaged != 0;
  std::uint64_t records = 0;
  SPILLFS_TRY(walk_records(
      disk, size,
      {.found =
           [&](const FoundRecord& found) {
             ++records;
             const std::uint64_t end = found.offset + found.record.layout.length;
             segment.size = std::max(segment.size, end - storage::kSuperblockSize);
             const bool whole = matches_sums(disk, found);
             if (!whole) damage(segment, found.offset, "the bytes do not match their sums");
             claim_record(position, found, whole);
             return Result<>();
           },
       .damaged = [&](std::uint64_t at, const std::string& what) { damage(segment, at, what); }}));
  if (records == 0 || !anew) return {};
  // What is opened is verified: it must be as it was.
  return file->write(storage::encode_superblock(store_.store_id(), segment.found.id), 0);
}

// False for a segment that is not ours.
Result<bool> SegmentClaims::check_superblock(ClaimedSegment& segment, storage::DiskReader& disk) {
  const Bytes block = SPILLFS_TRY(disk.read(0, storage::kSuperblockSize));
  const auto superblock = storage::decode_superblock(block);
  if (!superblock) {
    damage(segment, 0,
           superblock.error().context + "; it is written anew if there are records behind it");
    return true;
  }
  if (superblock->store == store_.store_id() && superblock->segment == segment.found.id) {
    return true;
  }
  leave_out(segment, "it is another store's, or another segment by its superblock");
  return false;
}

void SegmentClaims::claim_record(std::uint32_t position, const FoundRecord& found, bool whole) {
  const storage::RecordInfo& info = found.record.info;
  if (!is_inode(info.inode)) return;
  const bool certain = found.trust == Trust::kCertain;
  if (certain) highest_inode_ = std::max(highest_inode_, number(info.inode));
  if (certain) highest_sequence_ = std::max(highest_sequence_, info.sequence);
  const Claim claim{.segment = position,
                    .doubtful = !certain,
                    .whole = whole,
                    .offset = found.offset,
                    .sequence = info.sequence};
  const auto [at, is_new] = best_.try_emplace(number(info.inode), Best{.claim = claim});
  Best& best = at->second;
  if (certain) best.newest = std::max(best.newest, info.sequence);
  const auto rank = [](const Claim& c) { return std::tuple(!c.doubtful, c.whole, c.sequence); };
  if (!is_new && !best.is_private && rank(best.claim) < rank(claim)) best.claim = claim;
}

Result<> SegmentClaims::collect_private(std::uint32_t position) {
  ClaimedSegment& segment = segments_[position];
  const std::string path = storage::segment_path(SegmentKind::kPrivate, segment.found.id);
  const auto file = SPILLFS_TRY(store_.device(segment.directory).open(path));
  segment.size = SPILLFS_TRY(file->status()).size;
  const auto text = file->attribute(storage::kIdentityAttribute);
  const auto identity =
      text ? storage::decode_identity(*text) : Result<storage::Identity>(fail(EIO, "no identity"));
  if (!identity) {
    tell_(fmt::format("segment {} does not say whose it is", name_of(segment)));
    strays_.push_back({.segment = position, .doubtful = true});
  } else if (identity->store != store_.store_id()) {
    leave_out(segment, "it is another store's");
  } else if (identity->length == 0 && identity->path.empty()) {
    unsealed_.push_back(position);
  } else if (!is_inode(identity->inode)) {
    strays_.push_back({.segment = position, .doubtful = true});
  } else {
    const bool cut = segment.size < identity->length;
    if (cut) {
      damage(segment, segment.size,
             fmt::format("it had {} bytes when it was sealed", identity->length));
    }
    claim_private(position, identity->inode, cut);
  }
  return {};
}

// A file's bytes stay in its private segment once it has one, so this beats every record. Segments
// come in the order of their ids: the last is the newest.
void SegmentClaims::claim_private(std::uint32_t position, InodeId inode, bool doubtful) {
  highest_inode_ = std::max(highest_inode_, number(inode));
  const auto [at, is_new] = best_.try_emplace(number(inode));
  Best& best = at->second;
  if (best.is_private) {
    strays_.push_back(best.claim);
    strays_.back().doubtful = true;
  }
  best.is_private = true;
  best.claim = {
      .segment = position, .doubtful = doubtful, .sequence = number(segments_[position].found.id)};
}

std::vector<std::pair<InodeId, Claim>> SegmentClaims::of_inodes() const {
  std::vector<std::pair<InodeId, Claim>> all;
  all.reserve(best_.size());
  for (const auto& [id, best] : best_) {
    all.emplace_back(InodeId{id}, best.claim);
    // Older than its last seal.
    if (!best.is_private && best.claim.sequence < best.newest) all.back().second.doubtful = true;
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  return all;
}

}  // namespace spillfs::fs
