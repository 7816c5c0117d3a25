// SPDX-License-Identifier: Apache-2.0
// Opening and closing a Volume, its Vnodes and handles, and what needs no bytes.
#include "fs/volume/volume.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "fs/volume/names/attributes.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kStatfsBlock = 4096;
constexpr std::uint64_t kSelfCookie = 1;
constexpr std::uint64_t kParentCookie = 2;

}  // namespace

Volume::Volume(Parts parts, VolumeOptions options)
    : staging_(std::move(parts.staging)),
      segments_(std::move(parts.segments)),
      index_(std::move(parts.index)),
      open_files_(std::move(parts.open_files)),
      start_(parts.start),
      take_back_(std::move(parts.take_back)),
      options_(std::move(options)),
      write_pool_(options_.write_threads),
      space_(options_.quota),
      users_(options_.user_quota, ::geteuid()),
      past_writers_(space_, users_, *segments_, ::geteuid()),
      handle_shares_(options_.user_handles, OpenFiles::kMost, ::geteuid()),
      numbers_(*index_),
      fused_(*segments_, *index_, numbers_, space_),
      changed_files_(changed_files()),
      checksummer_(*changed_files_,
                   {.delay = options_.checksum_delay, .rate = options_.checksum_rate}),
      syncer_(*segments_, *index_),
      lost_files_(lost_files()),
      prover_(*lost_files_) {}

Result<std::unique_ptr<Volume>> Volume::open(Parts parts, VolumeOptions options) {
  if (parts.open_files == nullptr) parts.open_files = SPILLFS_TRY(OpenFiles::create());
  std::unique_ptr<Volume> volume(new Volume(std::move(parts), std::move(options)));
  SPILLFS_TRY(volume->recover());
  const bool in_background = volume->options_.reclaim_in_background && !volume->options_.read_only;
  if (in_background) {
    volume->reclaimer_ =
        std::jthread([v = volume.get()](const std::stop_token& stop) { v->reclaim_loop(stop); });
  }
  if (in_background) volume->checksummer_.start();
  volume->start_syncing();
  return volume;
}

Volume::~Volume() {
  const auto tell = [this](std::string_view doing) {
    if (options_.ending) options_.ending(doing);
  };
  tell("stops what it does in the background");
  checksummer_.stop();
  stop_syncing();
  reclaimer_.request_stop();
  kick_reclaim();
  if (reclaimer_.joinable()) reclaimer_.join();
  for (const VnodeRef& vnode : vnodes_->all()) {
    tell("seals what is open");
    ExclusiveLock lock(vnode->mutex);
    if (auto sealed = seal(*vnode); !sealed) {
      spdlog::error("seal inode {} at close: {}", number(vnode->id), describe(sealed.error()));
    }
    vnode->staged.reset();
  }
  if (auto sealed = fused_.seal(); !sealed) {
    spdlog::warn("the open fused segment is trimmed at the next start: {}",
                 describe(sealed.error()));
  }
  tell("brings everything to the disk");
  if (auto synced = sync_at_end(); !synced) spdlog::warn("sync: {}", describe(synced.error()));
}

Result<VnodeRef> Volume::acquire(InodeId id) {
  VnodeRef vnode = vnodes_->get(id);
  {
    SharedLock lock(vnode->mutex);
    if (vnode->loaded) return vnode;
  }
  ExclusiveLock lock(vnode->mutex);
  if (!vnode->loaded) SPILLFS_TRY(load(*vnode));
  return vnode;
}

Result<> Volume::load(Vnode& vnode) {
  index::Inode inode = SPILLFS_TRY(index_->inode(vnode.id));
  if (S_ISREG(inode.mode) && inode.size == 0) {
    // Perhaps it was never sealed, and the Vnode that knew is gone.
    const auto queued =
        SPILLFS_TRY(if_any(index_->queued(index::QueueKind::kUnsealed, number(vnode.id))));
    vnode.unsealed = queued.has_value();
  }
  fill(vnode, std::move(inode));
  return {};
}

Result<VnodeRef> Volume::acquire_directory(InodeId id) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SharedLock lock(vnode->mutex);
  if (!S_ISDIR(vnode->inode.mode)) return fail(ENOTDIR, "not a directory");
  if (vnode->inode.links != 0) keep_directory(vnode);
  return vnode;
}

void Volume::keep_directory(const VnodeRef& vnode) {
  VnodeRef other;  // goes after the lock
  MutexLock lock(kept_mutex_);
  VnodeRef& place = kept_directories_.at(number(vnode->id) % kept_directories_.size());
  if (place == vnode) return;
  other = std::exchange(place, vnode);
}

void Volume::let_go(const Vnode& vnode) {
  MutexLock lock(kept_mutex_);
  VnodeRef& place = kept_directories_.at(number(vnode.id) % kept_directories_.size());
  if (place.get() == &vnode) place.reset();
}

Result<Volume::Handle> Volume::handle(HandleId id) {
  MutexLock lock(handles_mutex_);
  const auto found = handles_.find(static_cast<std::uint64_t>(id));
  if (found == handles_.end()) return fail(EBADF, "no such handle");
  Handle& open = found->second;
  if (!std::exchange(open.taken, true) && open.mode == IoMode::kDirect) {
    --open.vnode->direct_under_way;
  }
  return open;
}

uid_t Volume::opener_of(HandleId id) {
  MutexLock lock(handles_mutex_);
  const auto found = handles_.find(static_cast<std::uint64_t>(id));
  return found == handles_.end() ? 0 : found->second.opener;
}

Result<HandleId> Volume::add_handle(const Handle& handle, RequestId request) {
  if (!handle_shares_.take(handle.opener)) return fail(EMFILE, "the user has too many files open");
  const auto added = open_files_->add({.inode = handle.vnode->id,
                                       .request = request,
                                       .flags = handle.flags,
                                       .mode = handle.mode,
                                       .opener = handle.opener});
  if (!added) handle_shares_.give_back(handle.opener);
  const HandleId id = SPILLFS_TRY(added);
  MutexLock lock(handles_mutex_);
  handles_.emplace(static_cast<std::uint64_t>(id), handle);
  return id;
}

// The change and the note that it has been made are one.
Result<> Volume::commit_answer(index::Batch& batch, RequestId request, InodeId inode) {
  if (request == kNoRequest) return index_->commit(batch);
  batch.put_reply = {.request = request, .inode = inode};
  {
    MutexLock lock(answered_mutex_);
    batch.erase_replies.swap(answered_);
  }
  auto done = index_->commit(batch);
  if (!done) {
    MutexLock lock(answered_mutex_);
    answered_.insert(answered_.end(), batch.erase_replies.begin(), batch.erase_replies.end());
  }
  return done;
}

void Volume::answered(RequestId request) {
  if (request == kNoRequest) return;
  MutexLock lock(answered_mutex_);
  answered_.push_back(request);
}

Result<std::optional<InodeId>> Volume::replied(RequestId request) {
  const auto reply = SPILLFS_TRY(if_any(index_->reply(request)));
  if (!reply) return std::nullopt;
  return reply->inode;
}

std::shared_ptr<const Volume::Kernel> Volume::kernel_side() {
  MutexLock lock(reclaim_mutex_);
  return kernel_;
}

// ENOSPC becomes kWaitForSpace where reclaim still has `reclaimable` bytes to give back.
Error Volume::wait_for_space(const Error& error, std::uint64_t reclaimable) {
  if (error.code != ENOSPC || reclaimable == 0) return error;
  space_wanted_ = true;
  kick_reclaim();
  return {.code = kWaitForSpace, .context = error.context, .where = error.where};
}

Error Volume::over_quota(const Error& error) {
  if (error.code != EAGAIN) return error;
  return wait_for_space({.code = ENOSPC, .context = error.context, .where = error.where},
                        space_.dead());
}

// Of a data directory that is full: what the pool keeps counts as well.
Error Volume::no_space(const Error& error) {
  if (error.code == ENOSPC) pool_wanted_ = true;
  return wait_for_space(error, space_.dead() + segments_->pool_bytes());
}

Result<Attributes> Volume::lookup(InodeId parent, std::string_view name) {
  if (name.size() > 255) return fail(ENAMETOOLONG, "name over 255 bytes");
  VnodeRef directory = SPILLFS_TRY(acquire_directory(parent));
  const index::Dentry found = SPILLFS_TRY(index_->find(directory->id, name));
  return get_attributes(found.inode);
}

// ESTALE where no name leads there.
Result<VnodeRef> Volume::acquire_named(InodeId id) {
  auto vnode = SPILLFS_TRY(if_any(acquire(id)));
  if (!vnode) return fail(ESTALE, "no inode has this number any more");
  SharedLock lock((*vnode)->mutex);
  if ((*vnode)->inode.links == 0) return fail(ESTALE, "it has no name any more");
  return *vnode;
}

Result<Attributes> Volume::look_up_number(InodeId id) {
  return get_attributes(SPILLFS_TRY(acquire_named(id))->id);
}

Result<Attributes> Volume::look_up_parent(InodeId id) {
  const VnodeRef vnode = SPILLFS_TRY(acquire_named(id));
  const InodeId parent = [&] {
    SharedLock lock(vnode->mutex);
    return id == kRootInode ? id : vnode->inode.parent;
  }();
  return look_up_number(parent);
}

Result<Attributes> Volume::get_attributes(InodeId id) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SPILLFS_TRY(catch_up_with_writers(*vnode));
  SharedLock lock(vnode->mutex);
  if (vnode->taken && vnode->inode.links == 0) return fail(ESTALE, "its name is gone");
  return stat_of(*vnode);
}

Result<std::string> Volume::readlink(InodeId id) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SharedLock lock(vnode->mutex);
  if (!S_ISLNK(vnode->inode.mode)) return fail(EINVAL, "not a symlink");
  return vnode->inode.text;
}

Result<std::vector<DirectoryEntry>> Volume::list(InodeId id, std::uint64_t after, std::size_t limit,
                                                 Listing listing) {
  VnodeRef directory = SPILLFS_TRY(acquire_directory(id));
  std::vector<DirectoryEntry> entries;
  index::Inode self;
  {
    SharedLock lock(directory->mutex);
    self = directory->inode;
  }
  if (after < kSelfCookie) entries.push_back({kSelfCookie, ".", stat_of(self)});
  if (after < kParentCookie) {
    const InodeId parent = id == kRootInode ? kRootInode : self.parent;
    entries.push_back({kParentCookie, "..", SPILLFS_TRY(get_attributes(parent))});
  }
  for (const index::Dentry& dentry :
       SPILLFS_TRY(index_->list(id, std::max(after, kParentCookie), limit))) {
    if (listing == Listing::kNames) {
      entries.push_back({dentry.cookie, dentry.name, {}});
      entries.back().attributes.st_ino = number(dentry.inode);
      entries.back().attributes.st_mode = dentry.type;
      continue;
    }
    auto attributes = get_attributes(dentry.inode);
    if (!attributes && attributes.error().code == ENOENT) continue;  // removed meanwhile
    if (!attributes) return tl::unexpected(attributes.error());
    entries.push_back({dentry.cookie, dentry.name, *attributes});
  }
  return entries;
}

Result<struct statvfs> Volume::statfs(uid_t uid) {
  std::uint64_t total = 0;
  std::uint64_t free = segments_->pool_bytes() + space_.dead();
  std::uint64_t reserved = 0;
  for (DirectoryId directory : segments_->directories()) {
    const auto space = segments_->space(directory);
    if (!space) continue;
    total += space->total;
    free += space->free;
    reserved += space->reserved;
  }
  std::uint64_t with_reserved = free + reserved;
  if (space_.quota() != 0) {
    total = space_.quota();
    free = std::min(free, space_.left());
    with_reserved = std::min(with_reserved, space_.left());
  }
  if (const auto left = users_.left(uid)) {
    total = std::min(total, users_.quota());
    free = std::min(free, *left);
    with_reserved = std::min(with_reserved, *left);
  }
  struct statvfs out {};
  out.f_bsize = out.f_frsize = kStatfsBlock;
  out.f_blocks = total / kStatfsBlock;
  out.f_bavail = std::min(total, free) / kStatfsBlock;
  out.f_bfree = std::min(total, with_reserved) / kStatfsBlock;  // df: the rest is used
  out.f_files = std::uint64_t{1} << 40;
  out.f_ffree = out.f_favail = out.f_files - static_cast<std::uint64_t>(inodes_.load());
  out.f_namemax = 255;
  return out;
}

Volume::Status Volume::status() {
  const FusedSegments::Totals fused = fused_.totals();
  const Checksummer::Status sums = checksummer_.status();
  Status out{.inodes = inodes_,
             .charged = space_.charged(),
             .dead = space_.dead(),
             .pool = segments_->pool_bytes(),
             .quota = space_.quota(),
             .staging_free = staging_->free_bytes(),
             .cached_files = cached_files_,
             .direct_files = direct_files_,
             .passthrough_files = passthrough_files_,
             .sync_requests = syncer_.requests(),
             .sync_groups = syncer_.groups(),
             .unsynced = unsynced_,
             .damaged = damaged_.count(),
             .index_trouble = index_->trouble(),
             .fused_segments = fused.segments,
             .fused_bytes = fused.bytes,
             .fused_live = fused.live,
             .summed = sums.bytes,
             .waiting_for_sums = sums.files,
             .reclaim_runs = reclaim_runs_,
             .freed_segments = freed_segments_,
             .copied_bytes = copied_bytes_};
  MutexLock lock(handles_mutex_);
  out.handles = handles_.size();
  return out;
}

std::string Volume::path_for_log(InodeId id) {
  if (id == kRootInode) return "/";
  const auto inode = index_->inode(id);
  if (!inode) return {};
  return path_of(*inode).value_or("");
}

std::vector<Volume::DirectoryStatus> Volume::directories() {
  std::vector<DirectoryStatus> out;
  for (DirectoryId directory : segments_->directories()) {
    out.push_back({.path = segments_->device(directory).name(),
                   .space = segments_->space(directory),
                   .takes_segments = !segments_->is_left_out(directory)});
  }
  return out;
}

void Volume::set_kernel(Kernel kernel) {
  MutexLock run(reclaim_run_);
  MutexLock lock(reclaim_mutex_);
  write_pool_.on_done(kernel.wake);
  kernel_ = std::make_shared<const Kernel>(std::move(kernel));
  kernel_unknown_ = false;
}

}  // namespace spillfs::fs
