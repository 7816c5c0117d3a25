// SPDX-License-Identifier: Apache-2.0
// Scrub: reads what is sealed from the disk and compares it with its sums. A file whose bytes are
// wrong is not opened any more; what reads can't reach says so by itself.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fs/volume/durability/sealed_bytes.h"
#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kScrubPage = 256;

bool has_sums(const index::Inode& inode) {
  return inode.location.placement == Placement::kFused || inode.sums_valid;
}

}  // namespace

// The walk of one call.
struct Volume::ScrubWalk {
  const ScrubOptions& options;
  storage::DiskReader disk;
  Scrubbed found;
};

Result<Scrubbed> Volume::scrub_next(SegmentId after, const ScrubOptions& options) {
  const auto next = SPILLFS_TRY(list_segments(after, 1));
  if (next.empty()) return fail(ENOENT, "no more segments");
  const index::Segment& segment = next.front();
  const std::string path = storage::segment_path(segment.kind, segment.id);
  ScrubWalk walk{.options = options,
                 .disk = storage::DiskReader(segments_->device(segment.directory).open(path)),
                 .found = {.segment = segment.id, .damage = {}}};
  if (segment.kind == SegmentKind::kFused) {
    // One that the power took goes with the files in it.
    if (!epochs_.any_doubtful()) scrub_superblock(segment, walk);
    SPILLFS_TRY(scrub_records(segment, walk));
  } else {
    SPILLFS_TRY(scrub_inode(segment.inode, {segment.id, 0, segment.inode}, walk));
  }
  return std::move(walk.found);
}

// Readers that have the segment open go on without it, the next ones can't.
void Volume::scrub_superblock(const index::Segment& segment, ScrubWalk& walk) {
  const auto block = walk.disk.read(0, storage::kSuperblockSize);
  if (!block) return;  // told of each file in it
  const auto good = storage::verify_superblock(*block, segments_->store_id(), segment.id);
  if (good) return;
  const std::string name = storage::segment_name(segment.kind, segment.id);
  spdlog::error("segment {} is damaged at 0: {}", name, good.error().context);
  walk.found.damage.push_back({.segment = name, .path = {}, .what = good.error().context});
}

Result<> Volume::scrub_records(const index::Segment& segment, ScrubWalk& walk) {
  std::uint64_t from = 0;
  for (;;) {
    const auto page = SPILLFS_TRY(index_->records(segment.id, from, kScrubPage));
    if (page.empty()) return {};
    for (const index::Record& record : page) {
      SPILLFS_TRY(scrub_inode(record.inode, record, walk));
    }
    if (!walk.options.pace(0)) return fail(ECANCELED, "to be stopped");
    from = page.back().offset + 1;
  }
}

// The inode's bytes, if they are still where `at` says.
Result<> Volume::scrub_inode(InodeId id, const index::Record& at, ScrubWalk& walk) {
  const auto inode = SPILLFS_TRY(if_any(index_->inode(id)));
  if (!inode || inode->location.segment != at.segment ||
      inode->location.record_offset != at.offset) {
    return {};
  }
  if (epochs_.is_doubtful(inode->sealed_in)) return {};  // it is compared at another place, or goes
  const std::int64_t settled = walk.options.settled.count();
  if (settled != 0 && current_time().seconds - inode->modified.seconds < settled) return {};
  if (!has_sums(*inode)) {
    ++walk.found.unsummed;
    sum_later(*inode);
    return {};
  }
  SealedBytes bytes(*index_, walk.disk, *inode);
  auto flaw = bytes.load_sums();
  for (std::uint64_t chunk = 0; !flaw && chunk < bytes.chunks(); ++chunk) {
    const std::uint64_t length = bytes.bytes_to_read(chunk);
    // What is removed must not keep its blocks for as long as a slow walk takes.
    const bool look = length != 0 || chunk % index::kSumsPerRow == 0;
    if (chunk != 0 && look && !is_still(*inode)) return {};
    flaw = bytes.check(chunk);
    walk.found.bytes += length;
    if (!walk.options.pace(length)) return fail(ECANCELED, "to be stopped");
  }
  ++walk.found.files;
  return flaw ? confirm(*inode, *flaw, walk.found) : confirm_whole(*inode);
}

bool Volume::is_still(const index::Inode& seen) {
  const auto now = index_->inode(seen.id);
  return now && now->location == seen.location && now->links != 0 && has_sums(*now);
}

// It looked so without the lock; the file may have been changed or moved meanwhile.
Result<> Volume::confirm(const index::Inode& seen, const Flaw& flaw, Scrubbed& found) {
  auto acquired = SPILLFS_TRY(if_any(acquire(seen.id)));
  if (!acquired) return {};
  Vnode& vnode = **acquired;
  ExclusiveLock lock(vnode.mutex);
  if (!vnode.loaded || vnode.inode.location != seen.location || vnode.inode.links == 0 ||
      !has_sums(vnode.inode)) {
    return {};
  }
  const Location& at = seen.location;
  storage::DiskReader disk(segments_->device(at.directory).open(storage::segment_path(at)));
  SealedBytes bytes(*index_, disk, vnode.inode);
  auto again = bytes.load_sums();
  if (!again && flaw.chunk < bytes.chunks()) again = bytes.check(flaw.chunk);
  if (!again) return {};
  found.damage.push_back({.segment = storage::segment_name(at),
                          .offset = again->offset,
                          .inode = seen.id,
                          .path = SPILLFS_TRY(path_of(vnode.inode)),
                          .what = again->what});
  const Damage& damage = found.damage.back();
  spdlog::error("segment {} is damaged at {}: {}: inode {}, {}", damage.segment, damage.offset,
                damage.what, number(seen.id), escaped(damage.path));
  if (again->kind == Flaw::Kind::kUnreadable) return {};
  forget_sums(vnode);  // those who have it open trust nothing any more
  SPILLFS_TRY(index_->commit({.put_queue = {{index::QueueKind::kDamaged, number(seen.id)}}}));
  damaged_.add(seen.id);
  return {};
}

// A file that was damaged may have been brought back from a copy.
Result<> Volume::confirm_whole(const index::Inode& seen) {
  if (!damaged_.contains(seen.id)) return {};
  auto acquired = SPILLFS_TRY(if_any(acquire(seen.id)));
  if (!acquired) return {};
  Vnode& vnode = **acquired;
  ExclusiveLock lock(vnode.mutex);
  if (vnode.inode.location != seen.location) return {};
  index::Batch batch;
  forget_damage(seen.id, batch);
  SPILLFS_TRY(index_->commit(batch));
  damaged_.remove(seen.id);
  spdlog::warn("inode {} was damaged and is whole again", number(seen.id));
  return {};
}

Result<> Volume::load_damaged() {
  return for_each_queued(*index_, index::QueueKind::kDamaged, [&](const auto& entry) {
    damaged_.add(InodeId{entry.id});
    return Result<>();
  });
}

// To the batch that gives the inode other bytes, or none; the caller then tells damaged_.
void Volume::forget_damage(InodeId id, index::Batch& batch) {
  if (!damaged_.contains(id)) return;
  batch.erase_queue.push_back({index::QueueKind::kDamaged, number(id)});
}

Result<> Volume::refuse_damaged(const Vnode& vnode) {
  if (!damaged_.contains(vnode.id)) return {};
  return fail(EIO, fmt::format("inode {} is damaged in segment {}", number(vnode.id),
                               storage::segment_name(vnode.inode.location)));
}

Result<SegmentId> Volume::scrub_position() {
  const auto kept = SPILLFS_TRY(index_->queue(index::QueueKind::kScrubbed, 0, 1));
  return kept.empty() ? kNoSegment : SegmentId{kept.front().id};
}

Result<> Volume::keep_scrub(SegmentId position, const index::ScrubMark& mark) {
  const SegmentId before = SPILLFS_TRY(scrub_position());
  index::Batch batch;
  if (before != kNoSegment && before != position) {
    batch.erase_queue.push_back({index::QueueKind::kScrubbed, number(before)});
  }
  if (position != kNoSegment && before != position) {
    batch.put_queue.push_back({index::QueueKind::kScrubbed, number(position)});
  }
  batch.put_scrub_mark = mark;
  return index_->commit(batch);
}

}  // namespace spillfs::fs
