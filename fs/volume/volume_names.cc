// SPDX-License-Identifier: Apache-2.0
// Names: making, linking, removing and renaming. Every operation finds its inodes without locks,
// locks them in id order, looks again, and starts over if a name changed in between.
#include <fcntl.h>
#include <linux/fs.h>

#include <algorithm>

#include "fs/volume/names/attributes.h"
#include "fs/volume/names/runtimes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kTargetMax = 4095;
constexpr std::uint32_t kLinksMax = 65000;

void touch(index::Inode& directory, index::Time now) {
  directory.modified = now;
  directory.changed = now;
}

index::Batch::DentryChange put_name(const index::Inode& parent, std::string_view name,
                                    const index::Inode& target) {
  return {.parent = parent.id,
          .name = std::string(name),
          .target = std::pair(target.id, target.mode & S_IFMT)};
}

index::Batch::DentryChange drop_name(const index::Inode& parent, std::string_view name) {
  return {.parent = parent.id, .name = std::string(name), .target = std::nullopt};
}

// `directory` gains or loses (count = -1) an entry of the type of `entry`.
void count_entry(index::Inode& directory, const index::Inode& entry, int count) {
  directory.entries += static_cast<std::uint64_t>(count);
  if (S_ISDIR(entry.mode)) directory.links += static_cast<std::uint32_t>(count);
}

}  // namespace

Result<index::Inode> Volume::new_inode(const index::Inode& parent, const Prototype& prototype,
                                       Caller caller) {
  const index::Time now = current_time();
  if (caller.user() != caller.uid) mapped_owners_.note(caller.user(), caller.uid);
  index::Inode inode{.id = InodeId{SPILLFS_TRY(numbers_.next(index::Counter::kInode))},
                     .mode = prototype.mode,
                     .links = S_ISDIR(prototype.mode) ? 2U : 1U,
                     .uid = caller.uid,
                     .gid = caller.gid,
                     .device = prototype.device,
                     .size = prototype.text.size(),
                     .accessed = now,
                     .modified = now,
                     .changed = now,
                     .born = now,
                     .sealed_in = epochs_.now(),
                     .text = prototype.text};
  if ((parent.mode & S_ISGID) != 0) {
    inode.gid = parent.gid;
    if (S_ISDIR(inode.mode)) inode.mode |= S_ISGID;
  }
  return inode;
}

Result<VnodeRef> Volume::make(InodeId parent, std::string_view name, const Prototype& prototype,
                              Caller caller) {
  SPILLFS_TRY(check_name(name));
  VnodeRef directory = SPILLFS_TRY(acquire_directory(parent));
  ExclusiveLock lock(directory->mutex);
  if (directory->inode.links == 0) return fail(ENOENT, "the directory was removed");
  const auto found = SPILLFS_TRY(if_any(index_->find(parent, name)));
  if (found) return fail(EEXIST, "the name exists");
  index::Inode inode = SPILLFS_TRY(new_inode(directory->inode, prototype, caller));
  rehome(inode, directory->inode, name);
  index::Inode parent_after = directory->inode;
  if (S_ISDIR(inode.mode) && parent_after.links >= kLinksMax) return fail(EMLINK, "too many links");
  count_entry(parent_after, inode, +1);
  touch(parent_after, inode.born);
  index::Batch batch{.dentries = {put_name(parent_after, name, inode)}, .totals = {.inodes = 1}};
  if (S_ISDIR(inode.mode)) note_creator(parent_after, inode, batch, caller);
  inode.metadata = inode_charge(inode) + kNameCharge;
  SPILLFS_TRY(InodeAcls(*index_).inherit(parent_after, caller.umask, inode, batch));
  auto charge = SPILLFS_TRY(charge_metadata(inode, 0, batch));
  batch.put_inodes = {inode, parent_after};
  if (prototype.unsealed) {
    batch.put_queue.push_back({index::QueueKind::kUnsealed, number(inode.id)});
  }
  std::optional<Home> home;
  if (prototype.unsealed) home = Home{.directory = parent, .parent = parent_after.parent};
  VnodeRef made = SPILLFS_TRY(commit_new(std::move(inode), batch, prototype, home, caller.request));
  charge.keep();
  if (prototype.unsealed && !writes_whole_files(directory->inode.text, name).empty()) {
    ExclusiveLock made_lock(made->mutex);
    made->whole.watched = true;
  }
  refresh(*directory, std::move(parent_after));
  return made;
}

// Commits the batch that makes `inode`. Its Vnode is locked until it is filled: another thread that
// finds the name may not change it before.
Result<VnodeRef> Volume::commit_new(index::Inode inode, index::Batch& batch,
                                    const Prototype& prototype, const std::optional<Home>& home,
                                    RequestId request) {
  VnodeRef vnode = vnodes_->get(inode.id);
  ExclusiveLock lock(vnode->mutex);
  SPILLFS_TRY(commit_answer(batch, request, inode.id));
  ++inodes_;
  fill(*vnode, std::move(inode));
  vnode->unsealed = prototype.unsealed;
  vnode->home = home;
  return vnode;
}

Result<Attributes> Volume::mknod(InodeId parent, std::string_view name, std::uint32_t mode,
                                 std::uint64_t device, Caller caller) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  if (S_ISDIR(mode) || S_ISLNK(mode)) return fail(EINVAL, "not a type mknod makes");
  const VnodeRef made = SPILLFS_TRY(make(parent, name, {.mode = mode, .device = device}, caller));
  return get_attributes(made->id);
}

Result<Attributes> Volume::mkdir(InodeId parent, std::string_view name, std::uint32_t mode,
                                 Caller caller) {
  const std::uint32_t permissions = mode & 07777;
  const VnodeRef made = SPILLFS_TRY(make(parent, name, {.mode = S_IFDIR | permissions}, caller));
  return get_attributes(made->id);
}

Result<Attributes> Volume::symlink(InodeId parent, std::string_view name, std::string_view target,
                                   Caller caller) {
  if (target.empty()) return fail(ENOENT, "empty symlink target");
  if (target.size() > kTargetMax) return fail(ENAMETOOLONG, "symlink target over 4095 bytes");
  const Prototype prototype{.mode = S_IFLNK | 0777, .text = std::string(target)};
  const VnodeRef made = SPILLFS_TRY(make(parent, name, prototype, caller));
  return get_attributes(made->id);
}

Result<Attributes> Volume::link(InodeId id, InodeId parent, std::string_view name, Caller caller) {
  SPILLFS_TRY(check_name(name));
  VnodeRef directory = SPILLFS_TRY(acquire_directory(parent));
  VnodeRef file = SPILLFS_TRY(acquire(id));
  const LockSet locks(directory, file);
  if (S_ISDIR(file->inode.mode)) return fail(EPERM, "a directory has one name");
  if (directory->inode.links == 0) return fail(ENOENT, "the directory was removed");
  if (file->inode.links >= kLinksMax) return fail(EMLINK, "too many links");
  const uid_t owner = file->inode.uid;
  const uid_t user = caller.user();
  const bool is_owner = user == owner || mapped_owners_.makes_files_of(user, owner);
  if (users_.limits(owner) && !is_owner && user != 0) {
    return fail(EPERM, "a further name would count for its owner's quota");
  }
  const auto found = SPILLFS_TRY(if_any(index_->find(parent, name)));
  if (found) return fail(EEXIST, "the name exists");
  // A name is only ever given to sealed bytes, so that a restart keeps the file under all of them.
  SPILLFS_TRY(seal_named(*file));
  index::Inode after = file->inode;
  index::Inode parent_after = directory->inode;
  const bool orphan = after.links == 0;
  ++after.links;
  after.metadata += kNameCharge;
  after.changed = current_time();
  rehome(after, parent_after, name);
  count_entry(parent_after, after, +1);
  touch(parent_after, after.changed);
  index::Batch batch{.put_inodes = {after, parent_after},
                     .dentries = {put_name(parent_after, name, after)}};
  if (orphan) {
    batch.erase_queue.push_back({index::QueueKind::kOrphan, number(id)});
  }
  revive(*file);
  auto charge = charge_metadata(after, file->inode.metadata, batch);
  auto done =
      charge ? commit_answer(batch, caller.request, id) : Result<>(tl::unexpected(charge.error()));
  if (!done && orphan) orphaned(file);
  SPILLFS_TRY(done);
  charge->keep();
  refresh(*directory, std::move(parent_after));
  refresh(*file, std::move(after));
  return stat_of(*file);
}

Result<MetadataCharge> Volume::drop_link(const Vnode& vnode, index::Inode& after,
                                         index::Batch& batch, index::Time now) {
  after.links = S_ISDIR(after.mode) ? 0 : after.links - 1;
  after.changed = now;
  after.metadata = changed_charge(after.metadata, 0, kNameCharge);
  if (after.links == 0) {
    batch.put_queue.push_back({index::QueueKind::kOrphan, number(vnode.id)});
    if (vnode.unsealed) {
      batch.erase_queue.push_back({index::QueueKind::kUnsealed, number(vnode.id)});
    }
  }
  return charge_metadata(after, vnode.inode.metadata, batch);
}

Result<> Volume::remove(InodeId parent, std::string_view name, Removal removal, RequestId request,
                        const std::optional<Unused>& only) {
  for (;;) {
    VnodeRef directory = SPILLFS_TRY(acquire_directory(parent));
    const index::Dentry found = SPILLFS_TRY(index_->find(parent, name));
    if (only && found.inode != only->inode) return fail(ENOENT, "the name is another's");
    VnodeRef node = SPILLFS_TRY(acquire(found.inode));
    const LockSet locks(directory, node);
    if (SPILLFS_TRY(index_->find(parent, name)) != found) continue;

    if (only) SPILLFS_TRY(check_unused(*node, *only));
    const bool is_directory = S_ISDIR(node->inode.mode);
    if (removal == Removal::kFile && is_directory) return fail(EISDIR, "it is a directory");
    if (removal == Removal::kDirectory && !is_directory) return fail(ENOTDIR, "not a directory");
    if (is_directory && node->inode.entries != 0) return fail(ENOTEMPTY, "directory not empty");
    index::Inode after = node->inode;
    index::Inode parent_after = directory->inode;
    index::Batch batch;
    count_entry(parent_after, after, -1);
    auto charge = SPILLFS_TRY(drop_link(*node, after, batch, current_time()));
    touch(parent_after, after.changed);
    batch.put_inodes = {after, parent_after};
    batch.dentries = {drop_name(parent_after, name)};
    SPILLFS_TRY(commit_answer(batch, request));
    charge.keep();
    refresh(*directory, std::move(parent_after));
    refresh(*node, std::move(after));
    if (node->inode.links == 0) orphaned(node);
    return {};
  }
}

Result<> Volume::unlink(InodeId parent, std::string_view name, RequestId request) {
  return remove(parent, name, Removal::kFile, request);
}

Result<> Volume::rmdir(InodeId parent, std::string_view name, RequestId request) {
  if (name == ".") return fail(EINVAL, "'.' can't be removed");
  if (name == "..") return fail(ENOTEMPTY, "'..' can't be removed");
  return remove(parent, name, Removal::kDirectory, request);
}

}  // namespace spillfs::fs
