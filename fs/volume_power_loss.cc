// SPDX-License-Identifier: Apache-2.0
// After a loss of power: what was sealed and not synced is compared with its sums before anyone
// opens it, and by and by in the background. A file that is not whole goes.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <unordered_set>

#include "fs/attributes.h"
#include "fs/proof.h"
#include "fs/volume.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kPage = 1000;
constexpr std::uint64_t kNobodysNumbers = std::uint64_t{1} << 62;  // no store gets that far

}  // namespace

Result<> Volume::recover_epochs() {
  const index::SyncMark found = SPILLFS_TRY(index_->sync_mark());
  epochs_.start(found, options_.boot);
  unsynced_ = found.epoch > found.synced;  // by a process that was killed
  if (machine_went_down(found, options_.boot)) {
    if (auto removed = remove_strays(); !removed) {
      spdlog::warn("segments of nobody: {}", describe(removed.error()));
    }
  }
  const bool may_have_gone_down = options_.boot.empty() || found.boot != options_.boot;
  if (may_have_gone_down) SPILLFS_TRY(leave_numbers_in_use());
  return index_->commit({.put_sync_mark = epochs_.mark()});
}

// Segments whose rows did not reach the disk.
Result<> Volume::remove_strays() {
  std::unordered_set<std::uint64_t> spared;
  SPILLFS_TRY(for_each_queued(*index_, index::QueueKind::kSpared, [&](const auto& entry) {
    spared.insert(entry.id);
    return Result<>();
  }));
  for (DirectoryId directory : segments_->directories()) {
    for (const storage::FoundSegment& file : SPILLFS_TRY(segments_->list(directory))) {
      if (spared.contains(number(file.id))) continue;
      if (SPILLFS_TRY(if_any(index_->segment(file.id)))) continue;
      spdlog::debug("segment {} is nobody's", number(file.id));
      SPILLFS_TRY(segments_->remove(file.kind, file.id, directory));
    }
  }
  return {};
}

// No new segment gets the number of one that the index has forgotten and that could not be removed.
Result<> Volume::leave_numbers_in_use() {
  std::uint64_t highest = 0;
  for (DirectoryId directory : segments_->directories()) {
    const auto found = segments_->list(directory);
    if (!found) spdlog::warn("data directory {}: {}", number(directory), describe(found.error()));
    if (!found) continue;
    for (const auto& [kind, id] : *found) {
      if (number(id) < kNobodysNumbers) highest = std::max(highest, number(id));
    }
  }
  return index::reserve_up_to(*index_, index::Counter::kSegment, highest);
}

bool Volume::is_doubtful(InodeId id) {
  if (!epochs_.any_doubtful()) return false;
  const auto vnode = acquire(id);
  if (!vnode) return false;
  SharedLock lock((*vnode)->mutex);
  return is_doubtful(**vnode);
}

bool Volume::is_doubtful(const Vnode& vnode) {
  return S_ISREG(vnode.inode.mode) && vnode.inode.links != 0 && !vnode.unsealed &&
         epochs_.is_doubtful(vnode.inode.sealed_in);
}

// ENOENT when the power took its bytes: then it is gone. Reads them without the inode's lock.
Result<> Volume::prove(const VnodeRef& vnode, const std::stop_token& stop) {
  if (!epochs_.had_doubtful()) return {};
  index::Inode inode;
  {
    SharedLock lock(vnode->mutex);
    // Another thread may have taken its name since the caller looked it up.
    const bool was_lost = vnode->inode.links == 0 && epochs_.was_doubtful(vnode->inode.sealed_in);
    if (was_lost) return fail(ENOENT, "the power took it");
    if (!is_doubtful(*vnode)) return {};
    inode = vnode->inode;
  }
  if (SPILLFS_TRY(has_its_bytes(inode, *index_, *segments_, stop))) {
    return note_on_disk(*vnode, inode.location, inode.sealed_in);
  }
  return drop_lost(vnode);
}

Result<> Volume::drop_lost(const VnodeRef& vnode) {
  index::Inode inode;
  {
    SharedLock lock(vnode->mutex);
    if (vnode->inode.links == 0) return fail(ENOENT, "the power took it");
    if (!is_doubtful(*vnode)) return {};  // another thread was faster
    inode = vnode->inode;
  }
  const std::string path = SPILLFS_TRY(path_of(inode));
  if (!path.empty()) {
    SPILLFS_TRY(remove(inode.parent, inode.text, Removal::kFile, kNoRequest, inode.id));
    spdlog::warn("'{}' is gone: the power went before it had been synced", escaped(path));
  }
  SharedLock lock(vnode->mutex);
  if (vnode->inode.links != 0) return fail(EIO, "the power took its bytes");
  return fail(ENOENT, "the power took it");
}

Result<> Volume::prove_all(const std::stop_token& stop) {
  bool all = epochs_.any_doubtful();
  InodeId after{0};
  while (epochs_.any_doubtful() && !stop.stop_requested()) {
    const auto page = SPILLFS_TRY(index_->inodes(after, kPage));
    if (page.empty()) break;
    for (const index::Inode& inode : page) {
      if (!S_ISREG(inode.mode) || !epochs_.is_doubtful(inode.sealed_in)) continue;
      const auto found = acquire(inode.id);
      const auto proven = found ? prove(*found, stop) : Result<>();
      if (proven || proven.error().code == ENOENT) continue;
      all = false;
      if (proven.error().code == ECANCELED) return {};
      spdlog::error("inode {} is still doubtful: {}", number(inode.id), describe(proven.error()));
    }
    after = page.back().id;
  }
  if (!all || stop.stop_requested()) return {};
  epochs_.clear_doubtful();
  return index_->commit({.put_sync_mark = epochs_.mark()});
}

}  // namespace spillfs::fs
