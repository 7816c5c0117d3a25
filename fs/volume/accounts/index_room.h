// SPDX-License-Identifier: Apache-2.0
// Whether the file system of the index has room for more names and xattrs. They may go on into the
// reserve that data leave, down to a floor; what is below it is for deletes and seals, which have
// to work always, and for the index's own compactions. Threads: any.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class IndexRoom {
 public:
  // Of the file system that `path` is on. The floor is a quarter of `reserve`, but never more than
  // an eighth of the file system.
  IndexRoom(std::string path, std::uint64_t reserve);

  // ENOSPC when there is none. At most 100 ms old while there is plenty. A file system that does
  // not tell has room.
  Result<> check() EXCLUDES(mutex_);

 private:
  bool measure() REQUIRES(mutex_);

  const std::string path_;
  const std::uint64_t reserve_;
  Mutex mutex_;
  std::uint64_t plenty_until_ GUARDED_BY(mutex_) = 0;  // steady clock, milliseconds
};

}  // namespace spillfs::fs
