// SPDX-License-Identifier: Apache-2.0
// Passthrough: the kernel reads and writes a private segment by itself. What it may be lent, and
// how Volume learns what has been written.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <array>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kRoomForStreams = 8 * kGiB;  // nothing stops one before the disk is full

}  // namespace

// The first live open of an inode fixes how the kernel does its I/O: once it is passthrough every
// open has to be, and beside a cached one none can be. A direct one goes with both, once the kernel
// has it: an answer that says direct is refused where the file was lent before it came. Of a file
// that is lent to readers a writer who may not write past us gets the backing file for its mappings
// only: those add no byte to a file without holes.
Result<IoMode> Volume::choose_io_mode(Vnode& vnode, int flags, uid_t caller) {
  const auto kernel = kernel_side();
  if (vnode.backing != 0 || (kernel->lend && vnode.cached == 0 && vnode.direct_under_way == 0 &&
                             wants_passthrough(vnode, flags, caller))) {
    const bool past = !may_write(flags) || past_writers_.may_write(vnode.inode.uid, caller);
    if (SPILLFS_TRY(lend(vnode, flags, *kernel))) {
      if (past) return IoMode::kPassthrough;
      if (auto dense = make_dense(vnode, vnode.size); !dense) {
        return tl::unexpected(no_space(dense.error()));
      }
      return IoMode::kMapped;
    }
  }
  const bool only_writes = (flags & O_ACCMODE) == O_WRONLY;
  return only_writes && kernel->direct_writes ? IoMode::kDirect : IoMode::kCached;
}

// Whether the pages that the kernel may have of the file can't have been changed in passthrough
// mode.
bool Volume::knows_pages(const Vnode& vnode) {
  return !is_private(vnode) || vnode.cached != 0 || !kernel_side()->lend;
}

// Whether a writer's stream of new bytes goes to a new file's page cache without us, as fast as the
// disk's own file system takes it. Where memory is tight, or space is, the bytes come through us,
// and so do those of files that will be small.
bool Volume::streams_past_us(const Vnode& vnode) {
  if (vnode.opens != 0 || vnode.segment != nullptr) return false;
  if (!vnode.home || !sizes_.expects_large(*vnode.home)) return false;
  if (!segments_->check_room(kRoomForStreams)) return false;
  return !options_.write_directly || !options_.write_directly(vnode.writer);
}

// Readers of what is sealed in a private segment; whoever reads and writes in any order, unless
// the file is small so far; streams that will be large. Not of a file that runs as its owner: that
// ends with a write of somebody else's, of which the kernel tells only who serves it.
// Where quotas or a reserve bind a file's writers a sparse one is not lent to readers either: then
// a writer beside them would have to be refused its holes.
bool Volume::wants_passthrough(const Vnode& vnode, int flags, uid_t caller) {
  if ((vnode.inode.mode & (S_ISUID | S_ISGID)) != 0) return false;
  if (!may_write(flags)) {
    if (past_writers_.binds(vnode.inode.uid) && vnode.charged < vnode.size) return false;
    return is_private(vnode) && vnode.size != 0 && !vnode.dirty && !vnode.unsealed;
  }
  if (!past_writers_.may_write(vnode.inode.uid, caller)) return false;
  const bool in_order = (flags & O_ACCMODE) == O_WRONLY && (flags & O_DIRECT) == 0;
  const bool is_empty = vnode.size == 0 && vnode.staged == nullptr && vnode.fused == nullptr;
  if (in_order) return is_empty && streams_past_us(vnode);
  return is_empty || is_private(vnode);
}

// False when the kernel does not take the file, or it gets no segment for want of space: then it
// goes on through the daemon. A create that waited here would find its own file when tried again.
Result<bool> Volume::lend(Vnode& vnode, int flags, const Kernel& kernel) {
  if (auto made = make_private(vnode, Purpose::kLend); !made) {
    const int code = made.error().code;
    if (code == ENOSPC || code == kWaitForSpace) return false;
    return tl::unexpected(made.error());
  }
  SPILLFS_TRY(vnode.segment->stop_streaming());
  if (vnode.backing == 0) {
    const auto id = kernel.lend(vnode.segment->file()->descriptor());
    if (!id) {
      spdlog::debug("inode {} is not passed through: {}", number(vnode.id), describe(id.error()));
      return false;
    }
    vnode.backing = *id;
    open_files_->note_backing(*id);
    publish(vnode);
  }
  const auto ready = may_write(flags) ? before_lending_for_writing(vnode, kernel) : Result<>();
  if (ready) return true;
  if (vnode.passthroughs == 0) take_back(vnode);
  return tl::unexpected(ready.error());
}

Result<> Volume::before_lending_for_writing(Vnode& vnode, const Kernel& kernel) {
  SPILLFS_TRY(before_change_in_place(vnode));
  {
    MutexLock lock(reclaim_mutex_);
    lent_for_writing_.insert(number(vnode.segment->id()));
  }
  if (vnode.passthrough_writers != 0) return {};
  vnode.backing_modified = to_time(SPILLFS_TRY(vnode.segment->file()->status()).modified);
  publish(vnode);
  // A mapping is written without the kernel's notice: it must not believe what it has.
  if (kernel.drop_attributes) kernel.drop_attributes(vnode.id);
  return {};
}

// Whether a mapping that no quota stops might fill the file's holes: it is to have none.
bool Volume::stays_dense(const Vnode& vnode) {
  if (vnode.segment == nullptr) return false;
  MutexLock lock(reclaim_mutex_);
  return dense_.contains(number(vnode.segment->id()));
}

// Gives the file, up to `size`, all its blocks, which are charged before. A disk that can't is no
// hindrance: it writes no block in place either.
Result<> Volume::make_dense(Vnode& vnode, std::uint64_t size) {
  const std::uint64_t wanted = round_up(size, kDiskBlock);
  if (size == 0) return {};
  if (vnode.charged < wanted) SPILLFS_TRY(charge(vnode, wanted));
  const auto filled = vnode.segment->allocate(storage::AllocateMode::kKeepSize, 0, size);
  settle_private(vnode);
  const bool cannot = !filled && filled.error().code == EOPNOTSUPP;
  return cannot ? Result<>() : filled;
}

void Volume::take_back(Vnode& vnode) {
  if (vnode.backing == 0) return;
  const auto kernel = kernel_side();
  const int id = vnode.backing;
  vnode.backing = -id;  // on its way
  publish(vnode);
  if (kernel->take_back) kernel->take_back(id);
  vnode.backing = 0;
  publish(vnode);
}

// Passthrough writers change the backing file without a word: takes over what they have done.
Result<> Volume::catch_up(Vnode& vnode) {
  if (vnode.passthrough_writers == 0) return {};
  if (vnode.segment == nullptr) return fail(EIO, "the file it was written to is lost");
  const storage::FileStatus found = SPILLFS_TRY(vnode.segment->refresh());
  const index::Time modified = to_time(found.modified);
  if (modified != vnode.backing_modified || found.size != vnode.size) {
    vnode.modified = vnode.changed = modified;
    vnode.backing_modified = modified;
    vnode.size = found.size;
  }
  vnode.dirty = true;  // a mapping is written without a trace in size or time
  vnode.scanner.reset();
  forget_sums(vnode);
  settle_charge(vnode, found.allocated);
  publish(vnode);
  return {};
}

// As catch_up(), for those who then share the lock.
Result<> Volume::catch_up_with_writers(Vnode& vnode) {
  {
    SharedLock lock(vnode.mutex);
    if (vnode.passthrough_writers == 0) return {};
  }
  ExclusiveLock lock(vnode.mutex);
  return catch_up(vnode);
}

// So that the totals know of passthrough writers that do not close. True while there are any.
bool Volume::sweep() {
  std::vector<VnodeRef> writers;
  {
    MutexLock lock(reclaim_mutex_);
    for (const auto& [id, vnode] : passthrough_writers_) writers.push_back(vnode);
  }
  for (const VnodeRef& vnode : writers) {
    if (!vnode->mutex.try_lock()) continue;  // whoever has it catches up
    if (auto caught = catch_up(*vnode); !caught) {
      spdlog::warn("inode {}: {}", number(vnode->id), describe(caught.error()));
    }
    vnode->mutex.unlock();
  }
  return !writers.empty();
}

}  // namespace spillfs::fs
