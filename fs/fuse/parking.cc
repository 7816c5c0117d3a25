// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/parking.h"

#include <algorithm>
#include <utility>

#include "storage/base/threads.h"

namespace spillfs::fs {
namespace {

constexpr unsigned kParkingThreads = 4;
constexpr std::size_t kThreadsOfUser = kParkingThreads / 2;
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

Parking::Parking(std::chrono::milliseconds patience) : patience_(patience) {
  start_threads(threads_, kParkingThreads, 1, [this](const std::stop_token& stop) { loop(stop); });
}

Parking::~Parking() {
  {
    // Under the lock: between a thread's look at its stop token and its wait, the call would be
    // lost.
    MutexLock lock(mutex_);
    for (std::jthread& thread : threads_) thread.request_stop();
    changed_.notify_all();
  }
  threads_.clear();
  MutexLock lock(mutex_);
  while (auto next = runnable_.pop()) next->second.attempt(Try::kLast);
  for (Request& request : waiting_) request.attempt(Try::kLast);
}

void Parking::run(Attempt attempt, uid_t user) {
  MutexLock lock(mutex_);
  runnable_.push(
      user, {.attempt = std::move(attempt), .deadline = Clock::now() + patience_, .user = user});
  changed_.notify_one();
}

void Parking::wait(Attempt attempt, Moment since, uid_t user) {
  {
    MutexLock lock(mutex_);
    const auto own = std::count_if(waiting_.begin(), waiting_.end(),
                                   [&](const Request& other) { return other.user == user; });
    if (waiting_.size() < kLimit && static_cast<std::size_t>(own) < kLimitOfUser) {
      park({.attempt = std::move(attempt), .deadline = Clock::now() + patience_, .user = user},
           since);
      return;
    }
  }
  attempt(Try::kLast);
}

void Parking::park(Request request, Moment since) {
  if (static_cast<std::uint64_t>(since) == wakes_) {
    waiting_.push_back(std::move(request));
  } else {
    const uid_t user = request.user;
    runnable_.push(user, std::move(request));
  }
  changed_.notify_one();
}

void Parking::wake() {
  MutexLock lock(mutex_);
  ++wakes_;
  run_waiting();
  changed_.notify_all();
}

void Parking::run_waiting() {
  for (Request& request : waiting_) {
    const uid_t user = request.user;
    runnable_.push(user, std::move(request));
  }
  waiting_.clear();
}

std::optional<Parking::Request> Parking::take_runnable() {
  auto next = runnable_.pop_if([&](uid_t user, const Request&) NO_THREAD_SAFETY_ANALYSIS {
    const auto busy = running_.find(user);
    return busy == running_.end() || busy->second < kThreadsOfUser;
  });
  if (!next) return std::nullopt;
  ++running_[next->first];
  return std::move(next->second);
}

// False when it is time to stop.
bool Parking::next(const std::stop_token& stop, Request& request) {
  MutexLock lock(mutex_);
  for (;;) {
    if (stop.stop_requested()) return false;
    if (auto found = take_runnable()) {
      request = *std::move(found);
      return true;
    }
    if (waiting_.empty()) {
      changed_.wait(mutex_);
    } else if (changed_.wait_for(mutex_, kPause) == std::cv_status::timeout) {
      run_waiting();
    }
  }
}

void Parking::loop(const std::stop_token& stop) {
  Request request;
  while (next(stop, request)) {
    const Moment before = now();
    const bool last = Clock::now() >= request.deadline;
    const Outcome outcome = request.attempt(last ? Try::kLast : Try::kMayWait);
    if (outcome == Outcome::kNeedsDisk) request.deadline = Clock::now() + patience_;
    MutexLock lock(mutex_);
    if (--running_[request.user] == 0) running_.erase(request.user);
    if (outcome != Outcome::kAnswered) park(std::move(request), before);
    if (!runnable_.empty()) changed_.notify_one();  // the user may have another thread again
  }
}

}  // namespace spillfs::fs
