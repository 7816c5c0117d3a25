// SPDX-License-Identifier: Apache-2.0
// Where requests wait, so that no receive thread does: slow ones run on threads of their own, those
// that need space are tried again until some has been reclaimed or their time is up. The users who
// send them take turns, and none has more than half of the threads or of the places.
// Threads: every method may be called from any thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "fs/system/fair_queue.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class Parking {
 public:
  enum class Try : std::uint8_t { kMayWait, kLast };
  enum class Outcome : std::uint8_t {
    kAnswered,
    kNeedsSpace,  // to be tried again, until its patience is over
    kNeedsDisk,   // to be tried again, however long it takes
  };
  // Tries a request and, where it can't be answered yet (never so after kLast), says what it needs.
  // Owns everything it uses.
  using Attempt = std::function<Outcome(Try)>;
  // A moment, before an attempt. What has been freed since is not waited for again.
  enum class Moment : std::uint64_t {};

  static constexpr std::size_t kLimit = 64;  // requests waiting for space at a time
  static constexpr std::size_t kLimitOfUser = kLimit / 2;

  explicit Parking(std::chrono::milliseconds patience);
  // Answers what still waits.
  ~Parking();

  // Runs the attempt soon.
  void run(Attempt attempt, uid_t user = 0) EXCLUDES(mutex_);
  // Tries again when space has been freed or written, at the latest in 100 ms, for the last time
  // when its patience is over. When too many wait already, now is the last time.
  void wait(Attempt attempt, Moment since, uid_t user = 0) EXCLUDES(mutex_);
  [[nodiscard]] Moment now() const { return Moment{wakes_.load()}; }
  // Space has been freed or written.
  void wake() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  struct Request {
    Attempt attempt;
    Clock::time_point deadline;
    uid_t user = 0;
  };

  void loop(const std::stop_token& stop);
  void park(Request request, Moment since) REQUIRES(mutex_);
  bool next(const std::stop_token& stop, Request& request) EXCLUDES(mutex_);
  std::optional<Request> take_runnable() REQUIRES(mutex_);
  void run_waiting() REQUIRES(mutex_);

  const std::chrono::milliseconds patience_;
  Mutex mutex_;
  CondVar changed_;
  FairQueue<Request> runnable_ GUARDED_BY(mutex_);
  std::map<uid_t, std::size_t> running_ GUARDED_BY(mutex_);  // threads, of those who have any
  std::vector<Request> waiting_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> wakes_{0};  // changed under the lock
  std::vector<std::jthread> threads_;
};

}  // namespace spillfs::fs
