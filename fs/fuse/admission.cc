// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/admission.h"

#include <algorithm>
#include <new>

namespace spillfs::fs {

bool Admission::admit(uid_t user, Bytes request) {
  MutexLock lock(mutex_);
  const bool in_turn = may_begin(user) && waiting_.count_of(user) == 0;
  if (!in_turn && keep(user, request)) return false;
  count(user, 1);
  return true;
}

std::optional<Admission::Request> Admission::served(uid_t user) {
  MutexLock lock(mutex_);
  count(user, -1);
  auto next = waiting_.pop_if([this](uid_t waits, const auto&)
                                  NO_THREAD_SAFETY_ANALYSIS { return may_begin(waits); });
  if (!next) return std::nullopt;
  const auto kept = kept_bytes_.find(next->first);
  kept->second -= next->second.size();
  if (kept->second == 0) kept_bytes_.erase(kept);
  count(next->first, 1);
  return Request{.user = next->first, .bytes = std::move(next->second)};
}

bool Admission::may_begin(uid_t user) const {
  if (user == 0 || user == trusted_) return true;
  const auto own = std::ranges::find(busy_, user, &std::pair<uid_t, long>::first);
  return (own == busy_.end() ? 0 : own->second) < free_;
}

bool Admission::keep(uid_t user, Bytes request) {
  try {
    std::size_t& kept = kept_bytes_[user];
    if (kept + request.size() > kKeptOfUser) return false;
    waiting_.push(user, {request.begin(), request.end()});
    kept += request.size();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void Admission::count(uid_t user, long threads) {
  free_ -= threads;
  auto own = std::ranges::find(busy_, user, &std::pair<uid_t, long>::first);
  if (own == busy_.end()) own = busy_.emplace(own, user, 0);
  own->second += threads;
  if (own->second == 0) busy_.erase(own);
}

}  // namespace spillfs::fs
