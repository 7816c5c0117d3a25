// SPDX-License-Identifier: Apache-2.0
// What an earlier process left behind. Walks the queue only, never the objects.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
Result<> Volume::recover() {
  SPILLFS_TRY(recover_epochs());
  SPILLFS_TRY(make_root());
  const index::Totals totals = SPILLFS_TRY(index_->totals());
  space_.settle(0, static_cast<std::uint64_t>(totals.charged));
  inodes_ = totals.inodes;
  SPILLFS_TRY(recover_users(totals.charged));
  SPILLFS_TRY(load_damaged());
  const bool restarts = start_ == Start::kRestart;
  kernel_unknown_ = restarts;
  // What a read-only mount hides is forgotten with each of its processes.
  if (!restarts || options_.read_only) SPILLFS_TRY(hide_unsealed());
  if (restarts) SPILLFS_TRY(restore());
  return options_.read_only ? fused_.load() : recover_segments();
}

Result<> Volume::hide_unsealed() {
  SPILLFS_TRY(index_->erase_all_replies());
  return for_each_queued(*index_, index::QueueKind::kUnsealed,
                         [&](const auto& entry) { return recover_unsealed(entry); });
}

Result<> Volume::recover_segments() {
  SPILLFS_TRY(for_each_queued(*index_, index::QueueKind::kOpening,
                              [&](const auto& entry) { return recover_opening(entry); }));
  SPILLFS_TRY(fused_.load());
  SPILLFS_TRY(for_each_queued(*index_, index::QueueKind::kOrphan,
                              [&](const auto& entry) { return recover_orphan(entry); }));
  kick_reclaim();
  return {};
}

Result<> Volume::make_root() {
  const auto root = SPILLFS_TRY(if_any(index_->inode(kRootInode)));
  if (root) return {};
  return index_->commit({.put_inodes = {new_root()}, .totals = {.inodes = 1}});
}

// A file that was created and never sealed is gone.
Result<> Volume::recover_unsealed(const index::QueueEntry& entry) {
  index::Batch batch{.erase_queue = {entry}};
  const auto inode = SPILLFS_TRY(if_any(index_->inode(InodeId{entry.id})));
  if (inode && SPILLFS_TRY(has_its_name(*inode))) {
    index::Inode parent = SPILLFS_TRY(index_->inode(inode->parent));
    --parent.entries;
    batch.put_inodes = {parent};
    batch.erase_inodes = {InodeId{entry.id}};
    if (inode->has_xattrs) batch.erase_xattrs = {InodeId{entry.id}};
    batch.dentries = {{.parent = inode->parent, .name = inode->text, .target = std::nullopt}};
    batch.totals.inodes = -1;
    count_for({.uid = inode->uid, .metadata = -static_cast<std::int64_t>(inode->metadata)}, batch);
    users_.settle(inode->uid, inode->metadata, 0);
    space_.settle(inode->metadata, 0);
    --inodes_;
  }
  return index_->commit(batch);
}

Result<> Volume::recover_orphan(const index::QueueEntry& entry) {
  const VnodeRef vnode = SPILLFS_TRY(acquire(InodeId{entry.id}));
  ExclusiveLock lock(vnode->mutex);
  orphaned(vnode);
  return {};
}

Result<> Volume::recover_opening(const index::QueueEntry& entry) {
  index::Batch batch{.erase_queue = {entry}};
  const auto segment = SPILLFS_TRY(if_any(index_->segment(SegmentId{entry.id})));
  if (segment && segment->kind == SegmentKind::kFused) {
    const auto trimmed = segments_->trim_fused(segment->id, segment->directory);
    if (!trimmed && trimmed.error().code != ENOENT) {
      spdlog::warn("fused segment {}: {}", entry.id, describe(trimmed.error()));
    }
  } else if (segment) {
    if (is_open(*segment)) return {};
    const auto owner = SPILLFS_TRY(if_any(index_->inode(segment->inode)));
    if (!owner || owner->location.segment != segment->id) {
      batch.put_queue = {{index::QueueKind::kDead, entry.id}};
    }
  }
  return index_->commit(batch);
}

// Whether a file that goes on after a restart has its bytes there.
bool Volume::is_open(const index::Segment& segment) {
  const VnodeRef vnode = vnodes_->get(segment.inode);
  SharedLock lock(vnode->mutex);
  return vnode->segment != nullptr && vnode->segment->id() == segment.id;
}

}  // namespace spillfs::fs
