// SPDX-License-Identifier: Apache-2.0
#include "fs/parking.h"

#include <utility>

#include "storage/base/threads.h"

namespace spillfs::fs {
namespace {

constexpr unsigned kThreads = 2;
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

Parking::Parking(std::chrono::milliseconds patience) : patience_(patience) {
  start_threads(threads_, kThreads, 1, [this](const std::stop_token& stop) { loop(stop); });
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
  for (Request& request : runnable_) request.attempt(Try::kLast);
  for (Request& request : waiting_) request.attempt(Try::kLast);
}

void Parking::run(Attempt attempt) {
  MutexLock lock(mutex_);
  runnable_.push_back({.attempt = std::move(attempt), .deadline = Clock::now() + patience_});
  changed_.notify_one();
}

void Parking::wait(Attempt attempt, Moment since) {
  {
    MutexLock lock(mutex_);
    if (waiting_.size() < kLimit) {
      park({.attempt = std::move(attempt), .deadline = Clock::now() + patience_}, since);
      return;
    }
  }
  attempt(Try::kLast);
}

void Parking::park(Request request, Moment since) {
  if (static_cast<std::uint64_t>(since) == wakes_) {
    waiting_.push_back(std::move(request));
  } else {
    runnable_.push_back(std::move(request));
  }
  changed_.notify_one();
}

void Parking::wake() {
  MutexLock lock(mutex_);
  ++wakes_;
  for (Request& request : waiting_) runnable_.push_back(std::move(request));
  waiting_.clear();
  changed_.notify_all();
}

// False when it is time to stop.
bool Parking::next(const std::stop_token& stop, Request& request) {
  MutexLock lock(mutex_);
  for (;;) {
    if (stop.stop_requested()) return false;
    if (!runnable_.empty()) {
      request = std::move(runnable_.front());
      runnable_.pop_front();
      return true;
    }
    if (waiting_.empty()) {
      changed_.wait(mutex_);
    } else if (changed_.wait_for(mutex_, kPause) == std::cv_status::timeout) {
      for (Request& waiting : waiting_) runnable_.push_back(std::move(waiting));
      waiting_.clear();
    }
  }
}

void Parking::loop(const std::stop_token& stop) {
  Request request;
  while (next(stop, request)) {
    const Moment before = now();
    const bool last = Clock::now() >= request.deadline;
    const Outcome outcome = request.attempt(last ? Try::kLast : Try::kMayWait);
    if (outcome == Outcome::kAnswered) continue;
    if (outcome == Outcome::kNeedsDisk) request.deadline = Clock::now() + patience_;
    MutexLock lock(mutex_);
    park(std::move(request), before);
  }
}

}  // namespace spillfs::fs
