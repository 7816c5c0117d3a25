// SPDX-License-Identifier: Apache-2.0
// Attributes and extended attributes.
#include <fmt/format.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include <array>

#include "fs/volume/names/attributes.h"
#include "fs/volume/names/own_xattrs.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::string_view kCapabilities = "security.capability";
constexpr std::size_t kValueMax = 64 * kKiB;
constexpr std::size_t kListMax = XATTR_LIST_MAX;  // what listxattr(2) can give: names with a NUL

// Which names Linux lets a file system keep.
Result<> check_xattr_name(std::string_view name) {
  if (name.size() > XATTR_NAME_MAX) return fail(ERANGE, "xattr name over 255 bytes");
  if (name.find('\0') != std::string_view::npos) return fail(EINVAL, "xattr name with a NUL");
  if (is_acl(name)) return {};
  for (std::string_view prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix)) {
      if (name.size() == prefix.size()) return fail(EINVAL, "xattr name is only a prefix");
      return {};
    }
  }
  return fail(EOPNOTSUPP, "xattr namespace not supported");
}

void set_time(const std::optional<SetTime>& wanted, index::Time now, index::Time& time) {
  if (wanted) time = wanted->now ? now : wanted->time;
}

}  // namespace

Result<Attributes> Volume::set_attributes(InodeId id, const SetAttributes& set) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  if (set.size) SPILLFS_TRY(prove(vnode));
  ExclusiveLock lock(vnode->mutex);
  SPILLFS_TRY(catch_up(*vnode));
  if (set.size) {
    if (S_ISDIR(vnode->inode.mode)) return fail(EISDIR, "a directory has no size to set");
    if (!S_ISREG(vnode->inode.mode)) return fail(EINVAL, "not a regular file");
    const auto cut = truncate(*vnode, *set.size);
    if (vnode->inode.links == 0) orphaned(vnode);
    if (!cut) return tl::unexpected(cut.error());
  }
  if (set.changed_by) SPILLFS_TRY(kill_privileges(*vnode, *set.changed_by));
  index::Inode after = vnode->inode;
  const index::Time now = current_time();
  if (set.mode) after.mode = (after.mode & S_IFMT) | (*set.mode & 07777);
  if (set.uid) after.uid = *set.uid;
  if (set.gid) after.gid = *set.gid;
  set_time(set.accessed, now, after.accessed);
  index::Time modified = vnode->modified;
  set_time(set.modified, now, modified);
  if (set.modified) after.modified = modified;
  const bool only_size = !set.mode && !set.uid && !set.gid && !set.accessed && !set.modified;
  if (only_size) return stat_of(*vnode);
  after.changed = now;
  index::Batch batch{.put_inodes = {after}};
  const auto charged = static_cast<std::int64_t>(after.charged);
  const auto metadata = static_cast<std::int64_t>(after.metadata);
  count_for({.uid = vnode->inode.uid, .charged = -charged, .metadata = -metadata}, batch);
  count_for({.uid = after.uid, .charged = charged, .metadata = metadata}, batch);
  if (set.mode) SPILLFS_TRY(InodeAcls(*index_).follow_mode(after, batch));
  SPILLFS_TRY(index_->commit(batch));
  change_owner(*vnode, after.uid);
  refresh(*vnode, std::move(after));
  vnode->modified = modified;
  publish(*vnode);
  return stat_of(*vnode);
}

// A program that is changed has no capabilities any more, whoever changes it. Of a write that goes
// past its cache the kernel leaves that to us.
Result<> Volume::drop_capabilities(Vnode& vnode) {
  if (!vnode.inode.has_xattrs) return {};
  const auto found = SPILLFS_TRY(if_any(index_->xattr(vnode.id, kCapabilities), ENODATA));
  if (!found) return {};
  index::Inode after = vnode.inode;
  after.metadata = changed_charge(after.metadata, 0, xattr_charge(kCapabilities, found->size()));
  index::Batch batch{.put_inodes = {after},
                     .xattrs = {{vnode.id, std::string(kCapabilities), std::nullopt}}};
  auto charge = SPILLFS_TRY(charge_metadata(after, vnode.inode.metadata, batch));
  SPILLFS_TRY(index_->commit(batch));
  charge.keep();
  vnode.inode = std::move(after);
  return {};
}

Result<std::string> Volume::get_xattr(InodeId id, std::string_view name) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SharedLock lock(vnode->mutex);
  if (name == kUrlXattr) {
    const Location& location = vnode->inode.location;
    if (location.placement != Placement::kFused || vnode->dirty || is_doubtful(*vnode)) {
      return fail(ENODATA, "the file is not in a fused segment");
    }
    const auto record = SPILLFS_TRY(read_record(location));
    return fmt::format("{}/{}?offset={}&size={}", segments_->device(location.directory).name(),
                       storage::segment_path(location),
                       location.record_offset + record.layout.ray_offset,
                       record.layout.data_offset - record.layout.ray_offset + location.length);
  }
  SPILLFS_TRY(check_xattr_name(name));
  if (name == kOpensXattr) return std::to_string(vnode->opens);
  if (!vnode->inode.has_xattrs) return fail(ENODATA, "no such xattr");
  return index_->xattr(id, name);
}

Result<> Volume::set_xattr(InodeId id, std::string_view name, std::string_view value, int flags,
                           RequestId request, SetGid set_gid) {
  SPILLFS_TRY(check_xattr_name(name));
  if (is_own_xattr(name)) return {};
  if (value.size() > kValueMax) return fail(E2BIG, "xattr value over 64 KiB");
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  ExclusiveLock lock(vnode->mutex);
  index::Inode after = vnode->inode;
  if (is_acl(name)) {
    auto change = SPILLFS_TRY(InodeAcls(*index_).set(after, name, value, set_gid));
    return put_xattr(vnode, std::move(after), std::move(change), request);
  }
  const auto old = SPILLFS_TRY(if_any(index_->xattr(id, name), ENODATA));
  if (old && (flags & XATTR_CREATE) != 0) return fail(EEXIST, "the xattr exists");
  if (!old && (flags & XATTR_REPLACE) != 0) return fail(ENODATA, "no such xattr");
  if (!old) SPILLFS_TRY(check_room_for_xattr(*vnode, name));
  after.has_xattrs = true;
  after.metadata = changed_charge(after.metadata, xattr_charge(name, value.size()),
                                  old ? xattr_charge(name, old->size()) : 0);
  return put_xattr(vnode, std::move(after), {id, std::string(name), std::string(value)}, request);
}

Result<> Volume::put_xattr(const VnodeRef& vnode, index::Inode after,
                           index::Batch::XattrChange change, RequestId request) {
  after.changed = current_time();
  index::Batch batch{.put_inodes = {after}, .xattrs = {std::move(change)}};
  revive(*vnode);
  auto charge = charge_metadata(after, vnode->inode.metadata, batch);
  auto done = charge ? commit_answer(batch, request) : Result<>(tl::unexpected(charge.error()));
  if (done) {
    charge->keep();
    refresh(*vnode, std::move(after));
  }
  if (vnode->inode.links == 0) orphaned(vnode);
  return done;
}

// What can't be listed is not taken, so that no list is longer. ACLs always have room.
Result<> Volume::check_room_for_xattr(const Vnode& vnode, std::string_view name) {
  if (!vnode.inode.has_xattrs) return {};
  std::size_t length = name.size() + 1 + kAccessAcl.size() + 1 + kDefaultAcl.size() + 1;
  for (const std::string& other : SPILLFS_TRY(index_->xattr_names(vnode.id))) {
    if (!is_acl(other)) length += other.size() + 1;
  }
  if (length <= kListMax) return {};
  return fail(ENOSPC, "the names of its xattrs would take more than 64 KiB");
}

Result<std::vector<std::string>> Volume::list_xattrs(InodeId id) {
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SharedLock lock(vnode->mutex);
  std::vector<std::string> names;
  if (vnode->inode.has_xattrs) names = SPILLFS_TRY(index_->xattr_names(id));
  std::erase_if(names, [](const std::string& name) { return is_own_xattr(name); });
  return names;
}

Result<> Volume::remove_xattr(InodeId id, std::string_view name, RequestId request) {
  SPILLFS_TRY(check_xattr_name(name));
  if (is_own_xattr(name) && name != kHalfWrittenXattr) return {};
  VnodeRef vnode = SPILLFS_TRY(acquire(id));
  ExclusiveLock lock(vnode->mutex);
  auto found = index_->xattr(id, name);
  if (!found && found.error().code == ENODATA && is_acl(name)) return {};  // as on other systems
  const std::string old = SPILLFS_TRY(std::move(found));
  index::Inode after = vnode->inode;
  // What is our own was not charged.
  const std::uint64_t charged = is_own_xattr(name) ? 0 : xattr_charge(name, old.size());
  after.metadata = changed_charge(after.metadata, 0, charged);
  return put_xattr(vnode, std::move(after), {id, std::string(name), std::nullopt}, request);
}

}  // namespace spillfs::fs
