// SPDX-License-Identifier: Apache-2.0
// What tells later whether anybody will come back for a file or a directory (fs/reap/reaper.h).
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "fs/volume/names/own_xattrs.h"
#include "fs/volume/names/runtimes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

// The changes that say who made a directory.
void Volume::note_creator(const index::Inode& parent, index::Inode& made, index::Batch& batch,
                          Caller caller) {
  if (!options_.creator || caller.pid == 0) return;
  const RuntimeDirectory* known = runtime_directory(parent.text, made.text);
  std::string creator = options_.creator(caller.pid, known == nullptr ? "" : known->runtime);
  if (creator.empty()) return;
  made.has_xattrs = true;
  batch.xattrs.push_back({made.id, kCreatorXattr, std::move(creator)});
}

// A process that is killed closes its files as any other does, but for what it is dying of.
void Volume::note_close(Vnode& vnode, pid_t closer) {
  WholeFile& whole = vnode.whole;
  if (!whole.watched || whole.closed || closer == 0 || !options_.dying_of) return;
  whole.killed_by = options_.dying_of(closer);
  whole.closed = whole.killed_by == 0;
}

// Nobody writes a new file any more: its runtime knows it by now, or never will.
void Volume::note_last_close(Vnode& vnode) {
  const WholeFile whole = std::exchange(vnode.whole, {});
  if (!whole.watched || vnode.inode.links == 0) return;
  std::string why;
  if (whole.write_error != 0) {
    why = fmt::format("its last write failed: {}", whole.write_error < kWaitForSpace
                                                       ? std::strerror(whole.write_error)
                                                       : std::strerror(ENOSPC));
  } else if (whole.killed_by != 0) {
    why = fmt::format("its writer was killed by signal {}", whole.killed_by);
  }
  if (why.empty()) return;
  index::Inode after = vnode.inode;
  after.has_xattrs = true;
  const auto done = index_->commit(
      {.put_inodes = {after}, .xattrs = {{vnode.id, kHalfWrittenXattr, std::move(why)}}});
  if (done) {
    vnode.inode = std::move(after);
  } else {
    spdlog::warn("inode {} is not marked as half-written: {}", number(vnode.id),
                 describe(done.error()));
  }
}

// Somebody writes it: it is not what it was left as.
void Volume::adopt(Vnode& vnode) {
  if (!vnode.inode.has_xattrs) return;
  const auto mark = index_->xattr(vnode.id, kHalfWrittenXattr);
  if (!mark) return;
  const auto done = index_->commit({.xattrs = {{vnode.id, kHalfWrittenXattr, std::nullopt}}});
  if (!done) {
    spdlog::warn("inode {} stays marked as half-written: {}", number(vnode.id),
                 describe(done.error()));
  }
}

Result<> Volume::check_unused(const Vnode& vnode, const Unused& only) {
  if (!only.latest || S_ISDIR(vnode.inode.mode)) return {};
  if (vnode.opens != 0) return fail(EBUSY, "it is open");
  if (std::max(vnode.modified, vnode.changed) > *only.latest) return fail(EBUSY, "it was touched");
  return {};
}

Result<> Volume::remove_unused(InodeId parent, std::string_view name, const Unused& only) {
  const VnodeRef vnode = SPILLFS_TRY(acquire(only.inode));
  const auto removal = [&] {
    SharedLock lock(vnode->mutex);
    return S_ISDIR(vnode->inode.mode) ? Removal::kDirectory : Removal::kFile;
  }();
  SPILLFS_TRY(remove(parent, name, removal, kNoRequest, only));
  {
    ExclusiveLock lock(vnode->mutex);
    vnode->taken = vnode->inode.links == 0;
  }
  const auto kernel = kernel_side();
  if (!kernel->drop_attributes) return {};
  for (const InodeId id : {only.inode, parent}) kernel->drop_attributes(id);
  return {};
}

}  // namespace spillfs::fs
