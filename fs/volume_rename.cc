// SPDX-License-Identifier: Apache-2.0
// rename(2), with RENAME_NOREPLACE and RENAME_EXCHANGE.
#include <linux/fs.h>

#include "fs/attributes.h"
#include "fs/volume.h"

namespace spillfs::fs {
namespace {

// Both directories; one and the same when the name stays in it.
struct Ends {
  index::Inode from;
  index::Inode other;  // unused when same
  bool same = false;

  index::Inode& to() { return same ? from : other; }
};

void move_entry(const index::Inode& moved, index::Inode& from, index::Inode& to) {
  --from.entries;
  ++to.entries;
  if (!S_ISDIR(moved.mode)) return;
  --from.links;
  ++to.links;
}

index::Batch::DentryChange entry(InodeId parent, std::string_view name,
                                 const index::Inode* target) {
  index::Batch::DentryChange change{.parent = parent, .name = std::string(name), .target = {}};
  if (target != nullptr) change.target = std::pair(target->id, target->mode & S_IFMT);
  return change;
}

}  // namespace

// EINVAL when `id` is `directory` or one of its ancestors.
Result<> Volume::check_not_inside(InodeId id, InodeId directory) {
  while (directory != kRootInode) {
    if (directory == id) return fail(EINVAL, "a directory can't move into itself");
    directory = SPILLFS_TRY(index_->inode(directory)).parent;
  }
  return {};
}

Result<> Volume::rename(InodeId from, std::string_view from_name, InodeId to,
                        std::string_view to_name, unsigned flags) {
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
      flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
    return fail(EINVAL, "unknown rename flags");
  }
  SPILLFS_TRY(check_name(to_name));
  for (;;) {
    const index::Dentry source = SPILLFS_TRY(index_->find(from, from_name));
    const auto target = SPILLFS_TRY(if_any(index_->find(to, to_name)));
    std::vector<VnodeRef> vnodes;
    vnodes.push_back(SPILLFS_TRY(acquire_directory(from)));
    vnodes.push_back(SPILLFS_TRY(acquire_directory(to)));
    vnodes.push_back(SPILLFS_TRY(acquire(source.inode)));
    if (target) vnodes.push_back(SPILLFS_TRY(acquire(target->inode)));
    // Two directories that move at once could each end up inside the other.
    std::unique_lock<Mutex> moves(directory_moves_, std::defer_lock);
    if (from != to && (source.type == S_IFDIR || (target && target->type == S_IFDIR))) moves.lock();
    LockSet locks(vnodes);
    if (SPILLFS_TRY(index_->find(from, from_name)) != source) continue;
    if (SPILLFS_TRY(if_any(index_->find(to, to_name))) != target) continue;
    RenameNames names{from_name, to_name};
    if ((flags & RENAME_EXCHANGE) != 0) {
      if (!target) return fail(ENOENT, "nothing to exchange with");
      return exchange(vnodes, names);
    }
    if (target && (flags & RENAME_NOREPLACE) != 0) return fail(EEXIST, "the name exists");
    return replace(vnodes, names);
  }
}

// vnodes: directory from, directory to, source, and the target if there is one. All are locked.
Result<> Volume::replace(const std::vector<VnodeRef>& vnodes, const RenameNames& names) {
  Vnode& source = *vnodes[2];
  Vnode* target = vnodes.size() > 3 ? vnodes[3].get() : nullptr;
  if (target == &source) return {};
  const bool is_directory = S_ISDIR(source.inode.mode);
  if (vnodes[1]->inode.links == 0) return fail(ENOENT, "the directory was removed");
  if (is_directory) SPILLFS_TRY(check_not_inside(source.id, vnodes[1]->id));
  if (target != nullptr) {
    if (is_directory && !S_ISDIR(target->inode.mode)) return fail(ENOTDIR, "not a directory");
    if (!is_directory && S_ISDIR(target->inode.mode)) return fail(EISDIR, "is a directory");
    if (is_directory && target->inode.entries != 0) return fail(ENOTEMPTY, "directory not empty");
  }
  // tmp + rename must not put a name on bytes that a restart would take away.
  SPILLFS_TRY(seal(source));
  Ends ends{vnodes[0]->inode, vnodes[1]->inode, vnodes[0] == vnodes[1]};
  index::Inode moved = source.inode;
  moved.changed = current_time();
  move_entry(moved, ends.from, ends.to());
  rehome(moved, ends.to(), names.to);
  index::Batch batch;
  batch.dentries = {entry(ends.from.id, names.from, nullptr),
                    entry(ends.to().id, names.to, &moved)};
  index::Inode replaced;
  if (target != nullptr) {
    replaced = target->inode;
    --ends.to().entries;
    if (S_ISDIR(replaced.mode)) --ends.to().links;
    drop_link(replaced, batch, moved.changed);
    batch.put_inodes.push_back(replaced);
  }
  SPILLFS_TRY(commit_rename(vnodes, batch, ends.from, ends.to(), moved));
  if (target != nullptr) {
    refresh(*target, std::move(replaced));
    if (target->inode.links == 0) orphaned(vnodes[3]);
  }
  return {};
}

Result<> Volume::exchange(const std::vector<VnodeRef>& vnodes, const RenameNames& names) {
  Vnode& source = *vnodes[2];
  Vnode& target = *vnodes[3];
  if (&source == &target) return {};
  if (S_ISDIR(source.inode.mode)) SPILLFS_TRY(check_not_inside(source.id, vnodes[1]->id));
  if (S_ISDIR(target.inode.mode)) SPILLFS_TRY(check_not_inside(target.id, vnodes[0]->id));
  SPILLFS_TRY(seal(source));
  SPILLFS_TRY(seal(target));
  Ends ends{vnodes[0]->inode, vnodes[1]->inode, vnodes[0] == vnodes[1]};
  index::Inode moved = source.inode;
  index::Inode returned = target.inode;
  moved.changed = returned.changed = current_time();
  move_entry(moved, ends.from, ends.to());
  move_entry(returned, ends.to(), ends.from);
  rehome(moved, ends.to(), names.to);
  rehome(returned, ends.from, names.from);
  index::Batch batch;
  batch.put_inodes.push_back(returned);
  batch.dentries = {entry(ends.from.id, names.from, &returned),
                    entry(ends.to().id, names.to, &moved)};
  SPILLFS_TRY(commit_rename(vnodes, batch, ends.from, ends.to(), moved));
  refresh(target, std::move(returned));
  return {};
}

Result<> Volume::commit_rename(const std::vector<VnodeRef>& vnodes, index::Batch& batch,
                               index::Inode from, index::Inode to, index::Inode moved) {
  from.modified = from.changed = to.modified = to.changed = moved.changed;
  batch.put_inodes.push_back(moved);
  batch.put_inodes.push_back(to);
  if (from.id != to.id) batch.put_inodes.push_back(from);
  SPILLFS_TRY(index_->commit(batch));
  if (from.id != to.id) refresh(*vnodes[0], std::move(from));
  refresh(*vnodes[1], std::move(to));
  refresh(*vnodes[2], std::move(moved));
  return {};
}

}  // namespace spillfs::fs
