// SPDX-License-Identifier: Apache-2.0
// PosixAcl: what the xattrs system.posix_acl_access and system.posix_acl_default say, in the format
// that Linux gives them (linux/posix_acl_xattr.h, version 2), and the rules by which an ACL and the
// permission bits of a mode stay in step (acl(5)). Who may do what is the kernel's to check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::fs {

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";  // of directories
constexpr bool is_acl(std::string_view xattr) {
  return xattr == kAccessAcl || xattr == kDefaultAcl;
}

class PosixAcl {
 public:
  // EINVAL where the kernel would not take it. A value without entries is no ACL.
  static Result<PosixAcl> parse(std::string_view value);
  [[nodiscard]] std::string encode() const;

  // No entry but those that a mode has: the mode says all of it.
  [[nodiscard]] bool is_only_mode() const;
  // The permission bits of a file that has it: the owner's, the mask (without one the group's), and
  // the others'.
  [[nodiscard]] std::uint32_t permissions() const;
  // Those bits where nothing applies the ACL: the owning group gets no more than its entry gives.
  [[nodiscard]] std::uint32_t permissions_without() const;

  // chmod(2): the entries that permissions() is made of become `mode`'s.
  void set_permissions(std::uint32_t mode);
  // A new file gets it from its directory and is made with `mode`: leaves in those entries what the
  // mode has as well.
  void keep_permissions(std::uint32_t mode);

  friend bool operator==(const PosixAcl&, const PosixAcl&) = default;

 private:
  enum class Tag : std::uint16_t {  // the values are the format's
    kUserObject = 0x01,
    kUser = 0x02,
    kGroupObject = 0x04,
    kGroup = 0x08,
    kMask = 0x10,
    kOther = 0x20,
  };
  struct Entry {
    Tag tag{};
    std::uint16_t permissions = 0;  // rwx
    std::uint32_t id = 0;           // of kUser and kGroup
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  static Result<Entry> parse_entry(std::string_view bytes);
  [[nodiscard]] bool is_valid() const;
  [[nodiscard]] const Entry* find(Tag tag) const;
  [[nodiscard]] std::uint32_t permissions_of(Tag tag) const;
  [[nodiscard]] Tag group_class() const;  // whose bits a mode shows as the group's
  void change(Tag tag, std::uint32_t permissions);

  std::vector<Entry> entries_;  // in the order of their tags
};

}  // namespace spillfs::fs
