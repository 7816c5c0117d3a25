// SPDX-License-Identifier: Apache-2.0
// rename(2), with RENAME_NOREPLACE, RENAME_WHITEOUT and RENAME_EXCHANGE.
#include <linux/fs.h>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr int kDeepest = 4096;  // a path has no more parts

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

// EINVAL when `moved` is `directory` or one of its ancestors. Other moves of directories wait.
Result<> Volume::check_not_inside(const index::Inode& moved, InodeId directory) {
  constexpr std::uint32_t kLinksOfLeaf = 2;
  for (int level = 0; directory != kRootInode; ++level) {
    if (directory == moved.id) return fail(EINVAL, "a directory can't move into itself");
    if (moved.links <= kLinksOfLeaf) return {};  // nothing is inside it
    if (level == kDeepest) return fail(ENAMETOOLONG, "it is deeper than a directory may move to");
    directory = SPILLFS_TRY(index_->inode(directory)).parent;
  }
  return {};
}

Result<> Volume::rename(InodeId from, std::string_view from_name, InodeId to,
                        std::string_view to_name, unsigned flags, const Caller& caller) {
  constexpr unsigned kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  const bool exchanges = (flags & RENAME_EXCHANGE) != 0;
  if ((flags & ~kKnown) != 0 || (exchanges && flags != RENAME_EXCHANGE)) {
    return fail(EINVAL, "unknown rename flags");
  }
  SPILLFS_TRY(check_name(to_name));
  for (;;) {
    const index::Dentry source = SPILLFS_TRY(index_->find(from, from_name));
    const auto target = SPILLFS_TRY(if_any(index_->find(to, to_name)));
    Renaming on{.caller = caller, .leaves_whiteout = (flags & RENAME_WHITEOUT) != 0};
    on.from = SPILLFS_TRY(acquire_directory(from));
    on.to = SPILLFS_TRY(acquire_directory(to));
    on.source = SPILLFS_TRY(acquire(source.inode));
    if (target) on.target = SPILLFS_TRY(acquire(target->inode));
    // Two directories that move at once could each end up inside the other.
    std::optional<MutexLock> moves;
    if (from != to && (source.type == S_IFDIR || (target && target->type == S_IFDIR))) {
      moves.emplace(directory_moves_);
    }
    const LockSet locks(on.from, on.to, on.source, on.target);
    if (SPILLFS_TRY(index_->find(from, from_name)) != source) continue;
    if (SPILLFS_TRY(if_any(index_->find(to, to_name))) != target) continue;
    RenameNames names{from_name, to_name};
    if (exchanges) {
      if (!target) return fail(ENOENT, "nothing to exchange with");
      return exchange(on, names);
    }
    if (target && (flags & RENAME_NOREPLACE) != 0) return fail(EEXIST, "the name exists");
    return replace(on, names);
  }
}

Result<> Volume::replace(const Renaming& on, const RenameNames& names) {
  if (on.target == on.source) return {};
  const bool is_directory = S_ISDIR(on.source->inode.mode);
  if (on.to->inode.links == 0) return fail(ENOENT, "the directory was removed");
  if (is_directory) SPILLFS_TRY(check_not_inside(on.source->inode, on.to->id));
  if (on.target != nullptr) {
    if (is_directory && !S_ISDIR(on.target->inode.mode)) return fail(ENOTDIR, "not a directory");
    if (!is_directory && S_ISDIR(on.target->inode.mode)) return fail(EISDIR, "is a directory");
    if (is_directory && on.target->inode.entries != 0)
      return fail(ENOTEMPTY, "directory not empty");
  }
  // tmp + rename must not put a name on bytes that a restart would take away.
  SPILLFS_TRY(seal(*on.source));
  Ends ends{on.from->inode, on.to->inode, on.from == on.to};
  index::Inode moved = on.source->inode;
  moved.changed = current_time();
  move_entry(moved, ends.from, ends.to());
  rehome(moved, ends.to(), names.to);
  index::Batch batch;
  batch.dentries = {entry(ends.from.id, names.from, nullptr),
                    entry(ends.to().id, names.to, &moved)};
  index::Inode replaced;
  std::optional<MetadataCharge> charge;
  if (on.target != nullptr) {
    replaced = on.target->inode;
    --ends.to().entries;
    if (S_ISDIR(replaced.mode)) --ends.to().links;
    charge.emplace(SPILLFS_TRY(drop_link(*on.target, replaced, batch, moved.changed)));
    batch.put_inodes.push_back(replaced);
  }
  std::optional<MetadataCharge> whiteout;
  if (on.leaves_whiteout) {
    whiteout.emplace(SPILLFS_TRY(leave_whiteout(on, names, ends.from, batch)));
  }
  SPILLFS_TRY(commit_rename(on, batch, ends.from, ends.to(), moved));
  if (whiteout) {
    ++inodes_;
    whiteout->keep();
  }
  if (on.target != nullptr) {
    charge->keep();
    refresh(*on.target, std::move(replaced));
    if (on.target->inode.links == 0) orphaned(on.target);
  }
  return {};
}

// Overlayfs takes a device 0/0 for a name that was deleted. Its row is made in the batch that moves
// the name, as the entry that would remove the old one.
Result<MetadataCharge> Volume::leave_whiteout(const Renaming& on, const RenameNames& names,
                                              index::Inode& from, index::Batch& batch) {
  index::Inode left = SPILLFS_TRY(new_inode(from, {.mode = S_IFCHR, .text = {}}, on.caller));
  rehome(left, from, names.from);
  left.metadata = inode_charge(left) + kNameCharge;
  auto charge = SPILLFS_TRY(charge_metadata(left, 0, batch));
  ++from.entries;
  batch.dentries.front() = entry(from.id, names.from, &left);
  batch.put_inodes.push_back(std::move(left));
  batch.totals.inodes = 1;
  return charge;
}

Result<> Volume::exchange(const Renaming& on, const RenameNames& names) {
  if (on.source == on.target) return {};
  if (S_ISDIR(on.source->inode.mode)) SPILLFS_TRY(check_not_inside(on.source->inode, on.to->id));
  if (S_ISDIR(on.target->inode.mode)) SPILLFS_TRY(check_not_inside(on.target->inode, on.from->id));
  SPILLFS_TRY(seal(*on.source));
  SPILLFS_TRY(seal(*on.target));
  Ends ends{on.from->inode, on.to->inode, on.from == on.to};
  index::Inode moved = on.source->inode;
  index::Inode returned = on.target->inode;
  moved.changed = returned.changed = current_time();
  move_entry(moved, ends.from, ends.to());
  move_entry(returned, ends.to(), ends.from);
  rehome(moved, ends.to(), names.to);
  rehome(returned, ends.from, names.from);
  index::Batch batch;
  batch.put_inodes.push_back(returned);
  batch.dentries = {entry(ends.from.id, names.from, &returned),
                    entry(ends.to().id, names.to, &moved)};
  SPILLFS_TRY(commit_rename(on, batch, ends.from, ends.to(), moved));
  refresh(*on.target, std::move(returned));
  return {};
}

Result<> Volume::commit_rename(const Renaming& on, index::Batch& batch, index::Inode from,
                               index::Inode to, index::Inode moved) {
  from.modified = from.changed = to.modified = to.changed = moved.changed;
  batch.put_inodes.push_back(moved);
  batch.put_inodes.push_back(to);
  if (from.id != to.id) batch.put_inodes.push_back(from);
  SPILLFS_TRY(commit_answer(batch, on.caller.request));
  if (from.id != to.id) refresh(*on.from, std::move(from));
  refresh(*on.to, std::move(to));
  refresh(*on.source, std::move(moved));
  return {};
}

}  // namespace spillfs::fs
