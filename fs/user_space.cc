// SPDX-License-Identifier: Apache-2.0
#include "fs/user_space.h"

namespace spillfs::fs {

Result<> UserSpace::move(uid_t uid, std::uint64_t before, std::uint64_t after) {
  if (before == after) return {};
  MutexLock lock(mutex_);
  User& user = users_[uid];
  if (limits(uid) && after > before) {
    const std::uint64_t wanted = after - before;
    if (user.charged >= quota_ || wanted > quota_ - user.charged) {
      return fail(EDQUOT, "the user's quota is used up");
    }
    if (user.charged + wanted + user.dead > quota_ + quota_ / 4) {
      return fail(EAGAIN, "too much of the user's is dead");
    }
  }
  user.charged += after - before;
  return {};
}

void UserSpace::settle(uid_t uid, std::uint64_t before, std::uint64_t after) {
  if (before == after) return;
  MutexLock lock(mutex_);
  users_[uid].charged += after - before;
}

void UserSpace::die(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  users_[uid].charged -= bytes;
  users_[uid].dead += bytes;
}

void UserSpace::revive(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  users_[uid].dead -= bytes;
  users_[uid].charged += bytes;
}

void UserSpace::gone(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  users_[uid].dead -= bytes;
}

std::optional<std::uint64_t> UserSpace::left(uid_t uid) {
  if (!limits(uid)) return std::nullopt;
  MutexLock lock(mutex_);
  const auto found = users_.find(uid);
  const std::uint64_t charged = found == users_.end() ? 0 : found->second.charged;
  return charged < quota_ ? quota_ - charged : 0;
}

std::map<uid_t, std::uint64_t> UserSpace::charged() {
  MutexLock lock(mutex_);
  std::map<uid_t, std::uint64_t> found;
  for (const auto& [uid, user] : users_) {
    if (user.charged != 0) found.emplace(uid, user.charged);
  }
  return found;
}

}  // namespace spillfs::fs
