// SPDX-License-Identifier: Apache-2.0
// Runs 'spillfs reap' on the mount of this process, now and then. Not in this process: a thread
// that waits for its own mount can't be ended with it.
//
// Threads: one of its own.
#pragma once

#include <chrono>
#include <string>
#include <thread>

namespace spillfs::fs {

struct BackgroundReapOptions {
  std::string mountpoint;
  std::chrono::seconds older_than{3600};
};

class BackgroundReaper {
 public:
  explicit BackgroundReaper(BackgroundReapOptions options);

 private:
  void run(const std::stop_token& stop) const;
  void reap(const std::stop_token& stop) const;

  const BackgroundReapOptions options_;
  std::jthread thread_;
};

}  // namespace spillfs::fs
