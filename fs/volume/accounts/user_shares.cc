// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/user_shares.h"

namespace spillfs::fs {

bool UserShares::take(uid_t uid) {
  MutexLock lock(mutex_);
  std::uint64_t& held = held_[uid];
  if (held < share_of(uid)) {
    ++held;
    return true;
  }
  if (held == 0) held_.erase(uid);
  return false;
}

void UserShares::restore(uid_t uid) {
  MutexLock lock(mutex_);
  ++held_[uid];
}

void UserShares::give_back(uid_t uid) {
  MutexLock lock(mutex_);
  const auto found = held_.find(uid);
  if (found != held_.end() && --found->second == 0) held_.erase(found);
}

bool UserShares::has_room(uid_t uid) {
  MutexLock lock(mutex_);
  const auto found = held_.find(uid);
  return (found == held_.end() ? 0 : found->second) < share_of(uid);
}

}  // namespace spillfs::fs
