// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/requesters.h"

#include <array>
#include <chrono>

#include "fs/system/thread_user.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKept = 64;  // threads that are remembered, by each of ours
constexpr std::chrono::seconds kLately{1};

struct Known {
  pid_t thread = 0;
  uid_t user = 0;
  Clock::time_point until;
};

}  // namespace

uid_t Requesters::user(uid_t told, pid_t thread) const {
  if (ids_ == RequestIds::kOfWhoAsks) return told;
  return user_of_thread(thread).value_or(kUnknownUser);
}

uid_t Requesters::user_lately(uid_t told, pid_t thread) const {
  if (thread <= 0) return kUnknownUser;
  if (ids_ == RequestIds::kOfWhoAsks) return told;
  thread_local std::array<Known, kKept> known;
  Known& place = known.at(static_cast<std::size_t>(thread) % kKept);
  const auto now = Clock::now();
  if (place.thread != thread || place.until < now) {
    place = {.thread = thread, .user = user(told, thread), .until = now + kLately};
  }
  return place.user;
}

}  // namespace spillfs::fs
