// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/user_space.h"

namespace spillfs::fs {

Space& UserSpace::of(uid_t uid) {
  return users_.try_emplace(uid, limits(uid) ? quota_ : 0).first->second;
}

Result<> UserSpace::move(uid_t uid, std::uint64_t before, std::uint64_t after) {
  if (before == after) return {};
  MutexLock lock(mutex_);
  auto moved = of(uid).move(before, after);
  if (!moved && moved.error().code == ENOSPC) return fail(EDQUOT, "the user's quota is used up");
  return moved;
}

void UserSpace::settle(uid_t uid, std::uint64_t before, std::uint64_t after) {
  if (before == after) return;
  MutexLock lock(mutex_);
  of(uid).settle(before, after);
}

void UserSpace::die(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  of(uid).die(bytes);
}

void UserSpace::revive(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  of(uid).revive(bytes);
}

void UserSpace::gone(uid_t uid, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  of(uid).reclaimed(bytes);
}

std::optional<std::uint64_t> UserSpace::left(uid_t uid) {
  if (!limits(uid)) return std::nullopt;
  MutexLock lock(mutex_);
  const auto found = users_.find(uid);
  return found == users_.end() ? quota_ : found->second.left();
}

std::map<uid_t, std::uint64_t> UserSpace::charged() {
  MutexLock lock(mutex_);
  std::map<uid_t, std::uint64_t> found;
  for (const auto& [uid, space] : users_) {
    if (space.charged() != 0) found.emplace(uid, space.charged());
  }
  return found;
}

}  // namespace spillfs::fs
