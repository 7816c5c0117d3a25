// SPDX-License-Identifier: Apache-2.0
// What each user's files count for, in bytes, and the quota that each of them has: a Space of their
// own, where bytes are charged before a write is answered, dead once no handle and no name needs
// them, gone with the inode, which a descriptor may hold for long. O(1), never blocks. Threads:
// any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>

#include "fs/volume/accounts/space.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class UserSpace {
 public:
  // quota 0: none. Root and `owner`, as whom the daemon runs, have none either.
  UserSpace(std::uint64_t quota, uid_t owner) : quota_(quota), owner_(owner) {}

  [[nodiscard]] bool limits(uid_t uid) const { return quota_ != 0 && uid != 0 && uid != owner_; }
  [[nodiscard]] std::uint64_t quota() const { return quota_; }

  // Moves the charge of a file that `uid` owns. Growing beyond the quota fails with EDQUOT and
  // changes nothing; else as Space::move().
  Result<> move(uid_t uid, std::uint64_t before, std::uint64_t after) EXCLUDES(mutex_);
  // As move(), for what has happened already: never fails.
  void settle(uid_t uid, std::uint64_t before, std::uint64_t after) EXCLUDES(mutex_);
  void die(uid_t uid, std::uint64_t bytes) EXCLUDES(mutex_);
  // An orphan that would have died is used again.
  void revive(uid_t uid, std::uint64_t bytes) EXCLUDES(mutex_);
  void gone(uid_t uid, std::uint64_t bytes) EXCLUDES(mutex_);
  // Bytes that the user may still take; none where the quota does not apply.
  std::optional<std::uint64_t> left(uid_t uid) EXCLUDES(mutex_);
  // Of all who own any; without what is dead.
  std::map<uid_t, std::uint64_t> charged() EXCLUDES(mutex_);

 private:
  Space& of(uid_t uid) REQUIRES(mutex_);

  const std::uint64_t quota_;
  const uid_t owner_;
  Mutex mutex_;
  std::unordered_map<uid_t, Space> users_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
