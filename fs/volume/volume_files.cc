// SPDX-License-Identifier: Apache-2.0
// Open files: create, open, read, write, truncate, allocate, seek, copy, flush, release.
#include <fcntl.h>
#include <linux/falloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

#include "fs/volume/names/attributes.h"
#include "fs/volume/names/privileges.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kMaxFile = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kCopyStep = kMiB;
constexpr std::uint64_t kCopyMost = 16 * kMiB;  // of one call: others wait for the thread
constexpr int kCreateTries = 10;

Result<storage::AllocateMode> allocate_mode(int mode) {
  using storage::AllocateMode;
  switch (mode) {
    case 0:
      return AllocateMode::kExtend;
    case FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kKeepSize;
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kPunchHole;
    case FALLOC_FL_ZERO_RANGE:
      return AllocateMode::kZero;
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
      return AllocateMode::kZeroKeepSize;
    default:
      return fail(EOPNOTSUPP, "fallocate mode not supported");
  }
}

Result<std::uint64_t> range_end(std::uint64_t offset, std::uint64_t length) {
  if (offset > kMaxFile || length > kMaxFile - offset)
    return fail(EFBIG, "beyond the largest file");
  return offset + length;
}

}  // namespace

Result<Opened> Volume::create(InodeId parent, std::string_view name, std::uint32_t mode, int flags,
                              Caller caller) {
  if (auto before = opened_before(caller.request)) return *before;
  SPILLFS_TRY(check_handles(caller.user()));
  Prototype prototype{.mode = S_IFREG | (mode & 07777), .device = 0, .text = {}, .unsealed = true};
  auto made = make(parent, name, prototype, caller);
  // Others may remove what is there and make it anew in between.
  for (int tries = 0; !made && made.error().code == EEXIST && (flags & O_EXCL) == 0; ++tries) {
    const auto found = SPILLFS_TRY(if_any(index_->find(parent, name)));
    auto opened = found ? open_file(found->inode, flags, caller) : fail(ENOENT, "just removed");
    if (opened || opened.error().code != ENOENT || tries == kCreateTries) return opened;
    made = make(parent, name, prototype, caller);
  }
  const VnodeRef vnode = SPILLFS_TRY(std::move(made));
  ExclusiveLock lock(vnode->mutex);
  return open_vnode(vnode, flags, caller);
}

Result<Opened> Volume::create_unnamed(InodeId parent, std::uint32_t mode, int flags,
                                      Caller caller) {
  if (auto before = opened_before(caller.request)) return *before;
  SPILLFS_TRY(check_handles(caller.user()));
  const Prototype prototype{.mode = S_IFREG | (mode & 07777), .text = {}};
  VnodeRef directory = SPILLFS_TRY(acquire_directory(parent));
  index::Inode inode;
  index::Batch batch{.totals = {.inodes = 1}};
  {
    SharedLock lock(directory->mutex);
    inode = SPILLFS_TRY(new_inode(directory->inode, prototype, caller));
    inode.links = 0;
    inode.metadata = inode_charge(inode);
    SPILLFS_TRY(InodeAcls(*index_).inherit(directory->inode, caller.umask, inode, batch));
  }
  batch.put_inodes = {inode};
  batch.put_queue = {{index::QueueKind::kOrphan, number(inode.id)}};
  auto charge = SPILLFS_TRY(charge_metadata(inode, 0, batch));
  // Sent again it finds its handle, or nothing has come of it.
  const VnodeRef vnode =
      SPILLFS_TRY(commit_new(std::move(inode), batch, prototype, std::nullopt, kNoRequest));
  charge.keep();
  ExclusiveLock lock(vnode->mutex);
  auto opened = open_vnode(vnode, flags, caller);
  orphaned(vnode);
  return opened;
}

Result<Opened> Volume::open_file(InodeId id, int flags, Caller caller) {
  if (auto before = opened_before(caller.request)) return *before;
  SPILLFS_TRY(check_handles(caller.user()));
  const VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SPILLFS_TRY(prove(vnode));
  ExclusiveLock lock(vnode->mutex);
  if (vnode->taken && vnode->inode.links == 0) return fail(ESTALE, "its name is gone");
  if (S_ISDIR(vnode->inode.mode)) return fail(EISDIR, "it is a directory");
  if (!S_ISREG(vnode->inode.mode)) return fail(ENXIO, "not a regular file");
  if ((flags & O_TRUNC) != 0) {  // with O_RDONLY as well
    if (caller.privileges == Caller::Privileges::kGo) {
      SPILLFS_TRY(kill_privileges(*vnode, caller));
    }
    SPILLFS_TRY(truncate(*vnode, 0));
  }
  return open_vnode(vnode, flags, caller);
}

// Before anything is made or cut for an open that would then be refused.
Result<> Volume::check_handles(uid_t opener) {
  if (handle_shares_.has_room(opener)) return {};
  return fail(EMFILE, "the user has too many files open");
}

Result<Opened> Volume::open_vnode(const VnodeRef& vnode, int flags, Caller caller) {
  SPILLFS_TRY(refuse_damaged(*vnode));
  SPILLFS_TRY(catch_up(*vnode));
  SPILLFS_TRY(open_content(*vnode));
  if (may_write(flags)) {
    vnode->writer = caller.pid;
    adopt(*vnode);
  }
  if (!vnode->row) vnode->row = SPILLFS_TRY(open_files_->add(open_file_of(*vnode)));
  Handle handle{.vnode = vnode, .flags = flags, .opener = caller.user()};
  auto mode = choose_io_mode(*vnode, flags, caller.user());
  if (mode) handle.mode = *mode;
  auto id =
      mode ? add_handle(handle, caller.request) : Result<HandleId>(tl::unexpected(mode.error()));
  if (!id) {
    if (vnode->passthroughs == 0) take_back(*vnode);
    close_row(*vnode);
    return tl::unexpected(id.error());
  }
  const bool keep_cache = knows_pages(*vnode);
  revive(*vnode);
  count_open(vnode, flags, handle.mode);
  Opened opened = opened_as(*vnode, *id, handle);
  opened.keep_cache = keep_cache;
  return opened;
}

// With what the kernel has of it forgotten.
Opened Volume::opened_as(const Vnode& vnode, HandleId id, const Handle& handle) {
  return {.attributes = stat_of(vnode),
          .handle = id,
          .mode = handle.mode,
          .may_write = may_write(handle.flags),
          .keep_cache = false,
          .backing = vnode.backing};
}

void Volume::count_open(const VnodeRef& vnode, int flags, IoMode mode) {
  ++vnode->opens;
  if (may_write(flags)) ++vnode->writers;
  if (mode == IoMode::kCached) ++vnode->cached;
  if (mode == IoMode::kDirect) ++vnode->direct_under_way;
  if (goes_past(mode)) ++vnode->passthroughs;
  if (goes_past(mode) && may_write(flags)) {
    ++vnode->passthrough_writers;
    MutexLock lock(reclaim_mutex_);
    if (mode == IoMode::kMapped && vnode->segment != nullptr) {
      dense_.insert(number(vnode->segment->id()));
    }
    passthrough_writers_[number(vnode->id)] = vnode;
    reclaim_wanted_.notify_all();  // the sweep begins
  }
}

// The next process need not know of a file that nobody has open.
void Volume::close_row(Vnode& vnode) {
  if (vnode.opens != 0 || !vnode.row) return;
  open_files_->remove(*vnode.row);
  vnode.row.reset();
}

Result<std::size_t> Volume::read(HandleId id, MutableBytes into, std::uint64_t offset) {
  const Handle open = SPILLFS_TRY(handle(id));
  if ((open.flags & O_ACCMODE) == O_WRONLY) return fail(EBADF, "not open for reading");
  SPILLFS_TRY(catch_up_with_writers(*open.vnode));
  SharedLock lock(open.vnode->mutex);
  if (offset >= open.vnode->size) return 0;
  into = into.first(std::min<std::uint64_t>(into.size(), open.vnode->size - offset));
  SPILLFS_TRY(read_content(*open.vnode, into, offset));
  return into.size();
}

Result<> Volume::write(HandleId id, Bytes from, std::uint64_t offset, storage::DiskWait wait) {
  const Handle open = SPILLFS_TRY(handle(id));
  if (!may_write(open.flags)) return fail(EBADF, "not open for writing");
  ExclusiveLock lock(open.vnode->mutex);
  if (from.empty()) return {};
  SPILLFS_TRY(drop_capabilities(*open.vnode));
  auto written = write_at(*open.vnode, open.flags, {.from = from, .offset = offset, .wait = wait});
  open.vnode->whole.write_error = written ? 0 : written.error().code;
  return written;
}

Result<> Volume::write_at(Vnode& vnode, int flags, const Write& write) {
  const auto [from, offset, wait] = write;
  SPILLFS_TRY(catch_up(vnode));
  const std::uint64_t end = SPILLFS_TRY(range_end(offset, from.size()));
  const bool in_order = vnode.segment == nullptr && vnode.fused == nullptr &&
                        offset <= vnode.size && (vnode.staged != nullptr || vnode.size == 0) &&
                        end <= options_.fuse_limit && (flags & O_ACCMODE) == O_WRONLY;
  if (in_order) {
    auto staged = stage(vnode, write);
    if (staged || staged.error().code != ENOBUFS) return staged;
  }
  return write_private(vnode, write);
}

// ENOBUFS when the arena is full of files that cannot move out now.
Result<> Volume::stage(Vnode& vnode, const Write& write) {
  const auto [from, offset, wait] = write;
  const std::uint64_t size = std::max<std::uint64_t>(vnode.size, offset + from.size());
  const std::uint64_t wanted = std::max(vnode.charged, round_up(size, kDiskBlock));
  const std::uint64_t unsealed = staging_->size() - staging_->free_bytes();
  if (auto room = segments_->check_room(unsealed + from.size()); !room) {
    return tl::unexpected(no_space(room.error()));
  }
  const std::uint64_t before = vnode.charged;
  SPILLFS_TRY(charge(vnode, wanted));
  if (vnode.staged == nullptr) {
    vnode.staged =
        std::make_unique<storage::StagedFile>(*staging_, storage::StagedPlace{vnode.id, 0});
  }
  auto written = vnode.staged->write(from, offset);
  if (!written && written.error().code == ENOBUFS && evict_largest(vnode)) {
    written = vnode.staged->write(from, offset);
  }
  if (!written) {
    settle_charge(vnode, before);
    if (vnode.staged->size() == 0) vnode.staged.reset();
    const bool again = wait == storage::DiskWait::kCallAgain && write_pool_.busy();
    return again ? fail(kWaitForDisk, "staging is full of what the disk will have") : written;
  }
  scan(vnode, from, offset);
  vnode.size = size;
  vnode.modified = vnode.changed = current_time();
  vnode.dirty = true;
  publish(vnode);
  return {};
}

Result<> Volume::write_private(Vnode& vnode, const Write& write) {
  const auto [from, offset, wait] = write;
  SPILLFS_TRY(make_private(vnode, Purpose::kWrite));
  storage::PrivateSegment& segment = *vnode.segment;
  const std::uint64_t end = offset + from.size();
  if (!segment.streaming() || offset != segment.length()) {
    SPILLFS_TRY(before_change_in_place(vnode));
  }
  const bool grows = end > segment.length();
  const bool sparse = vnode.charged < round_up(segment.length(), kDiskBlock);
  const std::uint64_t before = vnode.charged;
  std::uint64_t wanted = before;
  if (sparse || (grows && offset > segment.length())) {
    wanted += round_up(from.size(), kDiskBlock) + kDiskBlock;
  } else if (grows) {
    wanted = std::max(wanted, round_up(end, kDiskBlock));
  }
  SPILLFS_TRY(charge(vnode, wanted));
  if (auto room = prepare_blocks(vnode, write, wanted - before); !room) {
    settle_private(vnode);
    return tl::unexpected(no_space(room.error()));
  }
  vnode.dirty = true;
  forget_sums(vnode);
  const auto written = segment.write(from, offset, wait);
  settle_private(vnode);
  if (!written && written.error().code == ENOBUFS) return fail(kWaitForDisk, "the disk is behind");
  if (!written) {
    vnode.scanner.reset();
    return tl::unexpected(no_space(written.error()));
  }
  scan(vnode, from, offset);
  vnode.size = segment.length();
  vnode.modified = vnode.changed = current_time();
  publish(vnode);
  return {};
}

// Before a write that may take `growth` bytes of new blocks. An append asks for its own.
Result<> Volume::prepare_blocks(Vnode& vnode, const Write& write, std::uint64_t growth) {
  const storage::PrivateSegment& segment = *vnode.segment;
  const bool appends = segment.streaming() && write.offset == segment.length();
  if (growth == 0 || appends) return {};
  if (write.offset > segment.length() && stays_dense(vnode)) {
    SPILLFS_TRY(make_dense(vnode, write.offset));
  }
  return segments_->check_room_in(segment.location().directory, growth);
}

// The kernel, which did not ask for the mode, must not run the file with the one that it remembers.
Result<> Volume::kill_privileges(Vnode& vnode, const Caller& by) {
  const std::uint32_t mode = mode_after_change(
      vnode.inode.mode, [&, gid = vnode.inode.gid] { return may_keep_set_gid(by.pid, gid); });
  if (mode == vnode.inode.mode) return {};
  index::Inode after = vnode.inode;
  after.mode = mode;
  SPILLFS_TRY(index_->commit({.put_inodes = {after}}));
  refresh(vnode, std::move(after));
  const auto kernel = kernel_side();
  if (kernel->drop_attributes) kernel->drop_attributes(vnode.id);
  return {};
}

Result<> Volume::truncate(Vnode& vnode, std::uint64_t size) {
  SPILLFS_TRY(drop_capabilities(vnode));
  revive(vnode);
  auto done = resize(vnode, size);
  if (!done) publish(vnode);  // what was published as cut is there still
  // It was sealed at its last close: nothing is lost.
  if (!done && vnode.opens == 0) revert(vnode);
  return done;
}

Result<> Volume::resize(Vnode& vnode, std::uint64_t size) {
  SPILLFS_TRY(range_end(size, 0));
  // Of a file that becomes empty the bytes may be lost.
  auto opened = open_content(vnode);
  if (!opened && (size != 0 || opened.error().code != EIO)) return opened;
  SPILLFS_TRY(catch_up(vnode));
  const bool to_empty = size == 0 && vnode.segment == nullptr;
  publish_cut(vnode, size);
  if (to_empty) {
    vnode.staged.reset();
    vnode.fused.reset();
  } else if (vnode.staged != nullptr && size <= vnode.size) {
    SPILLFS_TRY(vnode.staged->truncate(size));
  } else if (size != vnode.size) {
    SPILLFS_TRY(make_private(vnode, Purpose::kWrite));
    SPILLFS_TRY(before_change_in_place(vnode, size));
    publish_cut(vnode, size);  // the segment may be new
    auto cut = size > vnode.size && stays_dense(vnode) ? make_dense(vnode, size) : Result<>();
    if (cut) cut = vnode.segment->truncate(size);
    // What the kernel reads or writes by itself takes no stream, and has no sums.
    const bool shared = vnode.backing != 0 || may_be_mapped(vnode.segment->id());
    if (cut && shared) cut = vnode.segment->stop_streaming();
    settle_private(vnode);
    if (!cut) return tl::unexpected(no_space(cut.error()));
  }
  forget_sums(vnode);
  vnode.scanner.reset();
  vnode.size = size;
  if (to_empty) settle_charge(vnode, 0);
  vnode.modified = vnode.changed = current_time();
  vnode.dirty = true;
  publish(vnode);
  return vnode.unsealed ? Result<>{} : seal(vnode);
}

Result<> Volume::allocate(HandleId id, int mode, std::uint64_t offset, std::uint64_t length) {
  const Handle open = SPILLFS_TRY(handle(id));
  if (!may_write(open.flags)) return fail(EBADF, "not open for writing");
  if (length == 0) return fail(EINVAL, "nothing to allocate");
  const storage::AllocateMode how = SPILLFS_TRY(allocate_mode(mode));
  SPILLFS_TRY(range_end(offset, length));
  Vnode& vnode = *open.vnode;
  ExclusiveLock lock(vnode.mutex);
  SPILLFS_TRY(drop_capabilities(vnode));
  SPILLFS_TRY(make_private(vnode, Purpose::kWrite));
  SPILLFS_TRY(catch_up(vnode));
  SPILLFS_TRY(before_change_in_place(vnode));
  if (how != storage::AllocateMode::kPunchHole) {
    SPILLFS_TRY(charge(vnode, vnode.charged + round_up(length, kDiskBlock) + kDiskBlock));
  } else if (stays_dense(vnode)) {
    return fail(EOPNOTSUPP, "no holes in a file that may be mapped past the daemon");
  }
  forget_sums(vnode);
  vnode.scanner.reset();
  vnode.dirty = true;
  const auto done = vnode.segment->allocate(how, offset, length);
  settle_private(vnode);
  if (!done) return tl::unexpected(no_space(done.error()));
  vnode.size = vnode.segment->length();
  vnode.modified = vnode.changed = current_time();
  publish(vnode);
  return {};
}

Result<std::uint64_t> Volume::seek(HandleId id, std::uint64_t offset, int whence) {
  const Handle open = SPILLFS_TRY(handle(id));
  Vnode& vnode = *open.vnode;
  ExclusiveLock lock(vnode.mutex);
  SPILLFS_TRY(catch_up(vnode));
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return fail(EINVAL, "unknown whence");
  if (offset >= vnode.size) return fail(ENXIO, "behind the end");
  if (vnode.segment == nullptr) return whence == SEEK_DATA ? offset : vnode.size;
  const auto kind = whence == SEEK_DATA ? storage::SeekKind::kData : storage::SeekKind::kHole;
  return vnode.segment->seek(kind, offset);
}

Result<std::uint64_t> Volume::copy_range(HandleId from, std::uint64_t from_offset, HandleId to,
                                         std::uint64_t to_offset, std::uint64_t length) {
  length = std::min(length, kCopyMost);
  std::vector<std::byte> buffer(std::min<std::uint64_t>(length, kCopyStep));
  std::uint64_t copied = 0;
  while (copied < length) {
    const auto want = std::min<std::uint64_t>(buffer.size(), length - copied);
    const auto got = read(from, MutableBytes(buffer).first(want), from_offset + copied);
    if (!got && copied == 0) return tl::unexpected(got.error());
    if (!got || *got == 0) break;
    const auto put = write(to, Bytes(buffer).first(*got), to_offset + copied);
    if (!put && copied == 0) return tl::unexpected(put.error());
    if (!put) break;
    copied += *got;
  }
  return copied;
}

Result<> Volume::flush(HandleId id, storage::DiskWait wait, pid_t closer) {
  const Handle open = SPILLFS_TRY(handle(id));
  Vnode& vnode = *open.vnode;
  ExclusiveLock lock(vnode.mutex);
  if (!may_write(open.flags)) return {};
  SPILLFS_TRY(catch_up(vnode));
  if (wait == storage::DiskWait::kCallAgain && vnode.segment != nullptr &&
      !SPILLFS_TRY(vnode.segment->settle())) {
    return fail(kWaitForDisk, "the last bytes are on their way");
  }
  note_close(vnode, closer);
  return seal(vnode);
}

Result<> Volume::release(HandleId id) {
  const Handle open = SPILLFS_TRY(handle(id));
  const VnodeRef& vnode = open.vnode;
  ExclusiveLock lock(vnode->mutex);
  {
    MutexLock handles(handles_mutex_);
    handles_.erase(static_cast<std::uint64_t>(id));
  }
  handle_shares_.give_back(open.opener);
  auto sealed = catch_up(*vnode);
  --vnode->opens;
  if (may_write(open.flags)) --vnode->writers;
  if (open.mode == IoMode::kCached) --vnode->cached;
  if (goes_past(open.mode)) --vnode->passthroughs;
  if (goes_past(open.mode) && may_write(open.flags) && --vnode->passthrough_writers == 0) {
    MutexLock reclaim(reclaim_mutex_);
    passthrough_writers_.erase(number(vnode->id));
  }
  if (vnode->passthroughs == 0) take_back(*vnode);
  if (sealed) sealed = seal(*vnode);
  if (!sealed && vnode->opens == 0) {
    spdlog::error("inode {} falls back to its last seal: {}", number(vnode->id),
                  describe(sealed.error()));
    revert(*vnode);
  }
  if (vnode->opens == 0 && vnode->inode.links == 0) orphaned(vnode);
  if (vnode->writers == 0) sum_later(vnode->inode);
  if (may_write(open.flags) && vnode->writers == 0 && vnode->home) {
    sizes_.note(*vnode->home, vnode->size > options_.fuse_limit);
  }
  if (may_write(open.flags) && vnode->writers == 0) note_last_close(*vnode);
  open_files_->remove(id);
  close_row(*vnode);
  close_idle_content(*vnode);
  return sealed;
}

// The file is not open, and could not be sealed or cut, which the caller is told: it is what it was
// at its last seal.
void Volume::revert(Vnode& vnode) {
  {
    MutexLock lock(reclaim_mutex_);
    reverted_.insert(number(vnode.id));
  }
  kick_reclaim();
  const SegmentId unnamed = unnamed_segment(vnode);
  vnode.staged.reset();
  vnode.segment.reset();
  vnode.fused.reset();
  vnode.scanner.reset();
  forget_sums(vnode);
  settle_charge(vnode, vnode.inode.charged);
  fill(vnode, vnode.inode);
  if (vnode.unsealed && !seal(vnode)) {
    spdlog::warn("inode {} goes at the next start", number(vnode.id));
  }
  publish(vnode);
  // The next worker must not go on with a segment that is to be freed.
  if (unnamed != kNoSegment) discard(unnamed);
}

}  // namespace spillfs::fs
