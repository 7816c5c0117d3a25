// SPDX-License-Identifier: Apache-2.0
// What names and xattrs count for, in bytes, against the quota of the inode's owner and of the
// store: a file without a byte takes room in the index, too. The rules are those of SEMANTICS.md.
// An inode's row keeps the sum of what it was charged (index::Inode::metadata), so that exactly
// that is given back; of an inode that an earlier version made it is 0, and it never falls below.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "fs/volume/accounts/space.h"
#include "fs/volume/accounts/user_space.h"
#include "index/index.h"
#include "storage/base/result.h"

namespace spillfs::fs {

inline constexpr std::uint64_t kRowCharge = 512;          // of each row in the index
inline constexpr std::uint64_t kNameCharge = kRowCharge;  // of each name, as long as it may be
// Of an inode itself, with a symlink's target.
std::uint64_t inode_charge(const index::Inode& inode);
std::uint64_t xattr_charge(std::string_view name, std::uint64_t value_size);

// `charged` after `added` bytes came and `removed` bytes went.
constexpr std::uint64_t changed_charge(std::uint64_t charged, std::uint64_t added,
                                       std::uint64_t removed) {
  return charged + added > removed ? charged + added - removed : 0;
}

// A change of a charge around its commit: what grows is charged before, and given back unless it
// was kept; what shrinks is given back when it is kept. One thread.
class MetadataCharge {
 public:
  // EDQUOT where the owner's quota does not hold it; ENOSPC and EAGAIN as Space::move(). Shrinking
  // never fails.
  static Result<MetadataCharge> take(UserSpace& users, Space& space, uid_t owner,
                                     std::uint64_t before, std::uint64_t after);
  MetadataCharge(MetadataCharge&& other) noexcept;
  MetadataCharge& operator=(MetadataCharge&&) = delete;
  ~MetadataCharge();
  // It was committed.
  void keep();

 private:
  MetadataCharge(UserSpace& users, Space& space, uid_t owner, std::uint64_t before,
                 std::uint64_t after)
      : users_(users), space_(space), owner_(owner), before_(before), after_(after) {}
  void settle(std::uint64_t before, std::uint64_t after);

  UserSpace& users_;
  Space& space_;
  const uid_t owner_;
  std::uint64_t before_;  // the same as after_ once nothing is left to do
  std::uint64_t after_;
};

}  // namespace spillfs::fs
