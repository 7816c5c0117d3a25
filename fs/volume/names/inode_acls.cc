// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/inode_acls.h"

#include <sys/stat.h>

#include <utility>

#include "fs/volume/accounts/metadata_charge.h"

namespace spillfs::fs {
namespace {

constexpr std::uint32_t kPermissions = 0777;
constexpr std::size_t kHeader = 4;  // bytes of a value without entries

void set_permissions(index::Inode& inode, std::uint32_t permissions) {
  inode.mode = (inode.mode & ~kPermissions) | permissions;
}

}  // namespace

Result<std::optional<std::string>> InodeAcls::value_of(const index::Inode& inode,
                                                       std::string_view name) {
  if (!inode.has_xattrs) return std::optional<std::string>();
  return if_any(index_.xattr(inode.id, name), ENODATA);
}

void InodeAcls::add(index::Inode& inode, std::string_view name, std::string value,
                    index::Batch& batch) {
  inode.has_xattrs = true;
  inode.metadata += xattr_charge(name, value.size());
  batch.xattrs.push_back({inode.id, std::string(name), std::move(value)});
}

Result<> InodeAcls::inherit(const index::Inode& parent, std::uint32_t umask, index::Inode& made,
                            index::Batch& batch) {
  if (S_ISLNK(made.mode)) return {};
  auto value = SPILLFS_TRY(value_of(parent, kDefaultAcl));
  if (!value) {
    made.mode &= ~(umask & kPermissions);
    return {};
  }
  PosixAcl acl = SPILLFS_TRY(PosixAcl::parse(*value));
  acl.keep_permissions(made.mode);
  set_permissions(made, acl.permissions());
  if (!acl.is_only_mode()) add(made, kAccessAcl, acl.encode(), batch);
  if (S_ISDIR(made.mode)) add(made, kDefaultAcl, *std::move(value), batch);
  return {};
}

Result<> InodeAcls::follow_mode(const index::Inode& changed, index::Batch& batch) {
  const auto value = SPILLFS_TRY(value_of(changed, kAccessAcl));
  if (!value) return {};
  PosixAcl acl = SPILLFS_TRY(PosixAcl::parse(*value));
  acl.set_permissions(changed.mode);
  batch.xattrs.push_back({changed.id, std::string(kAccessAcl), acl.encode()});
  return {};
}

Result<index::Batch::XattrChange> InodeAcls::set(index::Inode& inode, std::string_view name,
                                                 std::string_view value, SetGid set_gid) {
  if (S_ISLNK(inode.mode)) return fail(EOPNOTSUPP, "a symlink has no ACL");
  std::optional<std::string> kept;
  if (!value.empty() && value.size() != kHeader) {
    const PosixAcl acl = SPILLFS_TRY(PosixAcl::parse(value));
    if (name == kDefaultAcl) {
      if (!S_ISDIR(inode.mode)) return fail(EACCES, "only a directory has a default ACL");
      kept = acl.encode();
    } else {
      set_permissions(inode, acl.permissions());
      if (set_gid == SetGid::kGoes) inode.mode &= ~static_cast<std::uint32_t>(S_ISGID);
      if (!acl.is_only_mode()) kept = acl.encode();
    }
  }
  const auto before = SPILLFS_TRY(value_of(inode, name));
  inode.metadata = changed_charge(inode.metadata, kept ? xattr_charge(name, kept->size()) : 0,
                                  before ? xattr_charge(name, before->size()) : 0);
  inode.has_xattrs = inode.has_xattrs || kept;
  return index::Batch::XattrChange{inode.id, std::string(name), std::move(kept)};
}

Result<std::uint32_t> InodeAcls::mode_without(const index::Inode& inode) {
  const auto value = SPILLFS_TRY(value_of(inode, kAccessAcl));
  if (!value) return inode.mode;
  const PosixAcl acl = SPILLFS_TRY(PosixAcl::parse(*value));
  return (inode.mode & ~kPermissions) | acl.permissions_without();
}

}  // namespace spillfs::fs
