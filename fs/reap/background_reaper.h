// SPDX-License-Identifier: Apache-2.0
// Runs 'spillfs reap' on the mount of this process, now and then. Not in this process: a thread
// that waits for its own mount can't be ended with it.
//
// Threads: one of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <thread>

#include "fs/reap/reap_runner.h"

namespace spillfs::fs {

// What was removed so far.
struct Reaped {
  std::atomic<std::uint64_t> count{0};  // files and directories
  std::atomic<std::uint64_t> bytes{0};
};

class BackgroundReaper {
 public:
  // Both outlive it; the runner is its thread's alone.
  BackgroundReaper(ReapRunner& runner, std::chrono::seconds older_than, Reaped& reaped);

 private:
  void run(const std::stop_token& stop);
  void reap(const std::stop_token& stop);
  void take_line(std::string_view line);

  ReapRunner& runner_;
  const std::chrono::seconds older_than_;
  Reaped& reaped_;
  std::jthread thread_;
};

}  // namespace spillfs::fs
