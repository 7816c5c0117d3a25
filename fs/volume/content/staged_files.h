// SPDX-License-Identifier: Apache-2.0
// Which files have bytes in the staging arena, by their owners: when it is full, the user who has
// most of it makes room, by the largest of that user's files. So one user's many small files do not
// push out another's. What it is told may be behind the truth by one operation: the caller looks
// before it moves a file. O(log n) in the number of staged files. Threads: any.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class StagedFiles {
 public:
  // `bytes` of the file are in the arena now; 0: none.
  void note(InodeId file, uid_t owner, std::uint64_t bytes) EXCLUDES(mutex_);
  // Up to `limit` files to move out, in the order in which they should go: the largest of the user
  // with most bytes, then that user's next one.
  std::vector<InodeId> largest(std::size_t limit) EXCLUDES(mutex_);
  // Of all who have any.
  std::map<uid_t, std::uint64_t> users() EXCLUDES(mutex_);

 private:
  struct File {
    uid_t owner = 0;
    std::uint64_t bytes = 0;
  };
  struct User {
    std::uint64_t bytes = 0;
    std::set<std::pair<std::uint64_t, std::uint64_t>> files;  // bytes and inode
  };
  void forget(std::uint64_t inode, File file) REQUIRES(mutex_);

  Mutex mutex_;
  std::unordered_map<std::uint64_t, File> files_ GUARDED_BY(mutex_);
  std::map<uid_t, User> users_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
