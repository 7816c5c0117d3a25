// SPDX-License-Identifier: Apache-2.0
// SlowWatch: says which operations take too long, while they do: each that is still running after
// the limit is logged once and counted.
// Threads: any, but an Operation ends on a thread that owns it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <thread>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs {

class SlowWatch {
 public:
  explicit SlowWatch(std::chrono::milliseconds limit = std::chrono::seconds(5));
  ~SlowWatch();

  // Runs for as long as it lives. Does nothing without a watch. The texts outlive it.
  class Operation {
   public:
    // `name` on `object`, or on number `number` where there is no object.
    Operation(SlowWatch* watch, std::string_view name, std::string_view object,
              std::uint64_t number = 0);
    ~Operation();
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

   private:
    friend class SlowWatch;
    SlowWatch* const watch_;
    const std::string_view name_;
    const std::string_view object_;
    const std::uint64_t number_;
    const std::chrono::steady_clock::time_point begin_;
    std::size_t at_ = 0;  // in running_
    bool told_ = false;
  };

  // Operations that took too long so far, running ones included.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // An operation without an object is a request, or the heartbeat's own; one with an object, such
  // as a disk's, is a part of a request or of work in the background. Requests that run now and
  // have taken too long already.
  [[nodiscard]] std::size_t late_requests() EXCLUDES(mutex_);
  // Whether a request has been running for `limit` while nothing is under way that has an object.
  [[nodiscard]] bool stuck(std::chrono::milliseconds limit) EXCLUDES(mutex_);

 private:
  void begin(Operation& operation) EXCLUDES(mutex_);
  void end(Operation& operation) EXCLUDES(mutex_);
  void look(const std::stop_token& stop) EXCLUDES(mutex_);
  void tell_slow() REQUIRES(mutex_);

  const std::chrono::milliseconds limit_;
  std::atomic<std::uint64_t> count_{0};
  Mutex mutex_;
  CondVar stopping_;
  std::vector<Operation*> running_ GUARDED_BY(mutex_);
  std::jthread watcher_;
};

}  // namespace spillfs
