// SPDX-License-Identifier: Apache-2.0
// Where requests wait, so that no receive thread does: slow ones run on threads of their own, those
// that need space are tried again until some has been reclaimed or their time is up.
// Threads: every method may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs::fs {

class Parking {
 public:
  enum class Try : std::uint8_t { kMayWait, kLast };
  // Tries a request; answers it and returns true, or returns false to be tried again (never after
  // kLast). Owns everything it uses.
  using Attempt = std::function<bool(Try)>;

  static constexpr std::size_t kLimit = 64;  // requests waiting for space at a time

  explicit Parking(std::chrono::milliseconds patience);
  // Answers what still waits.
  ~Parking();

  // Runs the attempt soon.
  void run(Attempt attempt) EXCLUDES(mutex_);
  // Tries again when space has been freed, at the latest in 100 ms, for the last time when its
  // patience is over. When too many wait already, now is the last time.
  void wait_for_space(Attempt attempt) EXCLUDES(mutex_);
  // Space has been freed.
  void wake() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  struct Request {
    Attempt attempt;
    Clock::time_point deadline;
  };

  void loop(const std::stop_token& stop);
  bool next(const std::stop_token& stop, Request& request) EXCLUDES(mutex_);

  const std::chrono::milliseconds patience_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Request> runnable_ GUARDED_BY(mutex_);
  std::vector<Request> waiting_ GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;
};

}  // namespace spillfs::fs
