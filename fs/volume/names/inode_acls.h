// SPDX-License-Identifier: Apache-2.0
// InodeAcls: the ACLs of inodes, which the index keeps as xattrs (fs/volume/names/posix_acl.h), and
// what of them goes with a change of an inode. Each function puts what has to change into the inode
// or the batch that the caller is about to commit, and changes nothing by itself.
//
// The caller holds the locks of the inodes, from before the call to behind the commit. What an ACL
// counts for is in index::Inode::metadata, which the caller charges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fs/volume/names/posix_acl.h"
#include "index/index.h"

namespace spillfs::fs {

// Whether set-gid stays where an access ACL is set: not for one who is not in the inode's group.
enum class SetGid : std::uint8_t { kStays, kGoes };

class InodeAcls {
 public:
  explicit InodeAcls(index::Index& index) : index_(index) {}

  // `made` is a new inode in `parent`, with the mode that its maker asked for: gives it what the
  // parent's default ACL says, or takes `umask` off its mode where there is none. A symlink has
  // neither.
  Result<> inherit(const index::Inode& parent, std::uint32_t umask, index::Inode& made,
                   index::Batch& batch);

  // The permission bits of `changed` are others now: its access ACL follows.
  Result<> follow_mode(const index::Inode& changed, index::Batch& batch);

  // `inode` is given `value` as its ACL `name`, none where it has no entries: its mode follows, and
  // one that says no more than the mode is not kept. Returns the change of the xattr. EINVAL;
  // EACCES for a default ACL of what is no directory; EOPNOTSUPP for a symlink.
  Result<index::Batch::XattrChange> set(index::Inode& inode, std::string_view name,
                                        std::string_view value, SetGid set_gid);

  // The mode of `inode` for one who knows nothing of its ACL.
  Result<std::uint32_t> mode_without(const index::Inode& inode);

 private:
  Result<std::optional<std::string>> value_of(const index::Inode& inode, std::string_view name);
  static void add(index::Inode& inode, std::string_view name, std::string value,
                  index::Batch& batch);

  index::Index& index_;
};

}  // namespace spillfs::fs
