// SPDX-License-Identifier: Apache-2.0
// How many of something that there are only so many of each user holds: open files, requests that
// wait. No user gets more than a share, so that the others always find some. O(1). Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <unordered_map>

#include "storage/base/mutex.h"

namespace spillfs::fs {

class UserShares {
 public:
  // `share`: of each user; that of root and of `trusted`, as whom the daemon runs, is `all`.
  UserShares(std::uint64_t share, std::uint64_t all, uid_t trusted)
      : share_(share), all_(all), trusted_(trusted) {}

  // False when the user holds its share already.
  bool take(uid_t uid) EXCLUDES(mutex_);
  // As take(), of what it holds already: never refused.
  void restore(uid_t uid) EXCLUDES(mutex_);
  void give_back(uid_t uid) EXCLUDES(mutex_);
  // Whether take() would succeed now.
  [[nodiscard]] bool has_room(uid_t uid) EXCLUDES(mutex_);
  [[nodiscard]] std::uint64_t share_of(uid_t uid) const {
    return uid == 0 || uid == trusted_ ? all_ : share_;
  }

 private:
  const std::uint64_t share_;
  const std::uint64_t all_;
  const uid_t trusted_;
  Mutex mutex_;
  std::unordered_map<uid_t, std::uint64_t> held_ GUARDED_BY(mutex_);  // who holds none is not in it
};

}  // namespace spillfs::fs
