// SPDX-License-Identifier: Apache-2.0
// Whose files a user has been seen to make through a mapped mount: the kernel said that they are to
// be `owner`'s, though `user` asked. Who makes another's files at will may also do what only counts
// for that owner. O(1); a table that is full forgets all. Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <unordered_set>

#include "storage/base/mutex.h"

namespace spillfs::fs {

class MappedOwners {
 public:
  static constexpr std::size_t kMost = 65536;

  void note(uid_t user, uid_t owner) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (seen_.size() >= kMost) seen_.clear();
    seen_.insert(pair(user, owner));
  }
  [[nodiscard]] bool makes_files_of(uid_t user, uid_t owner) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return seen_.contains(pair(user, owner));
  }

 private:
  static std::uint64_t pair(uid_t user, uid_t owner) { return std::uint64_t{user} << 32 | owner; }

  Mutex mutex_;
  std::unordered_set<std::uint64_t> seen_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
