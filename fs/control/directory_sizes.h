// SPDX-License-Identifier: Apache-2.0
// DirectorySizes: how many bytes the directories at the top of a mount hold. Counted by walking the
// index, when somebody asks and the last count is old, on a thread of its own; of a very large
// store only the first inodes are looked at, which is said.
// Threads: every method may be called from any thread; none waits for the count.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "fs/volume/volume.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class DirectorySizes {
 public:
  static constexpr std::size_t kMostInodes = 2'000'000;  // a count takes some seconds at most
  static constexpr std::size_t kMostShown = 50;          // the largest
  static constexpr std::chrono::seconds kAge{10};

  explicit DirectorySizes(Volume& volume, std::size_t most_inodes = kMostInodes);
  ~DirectorySizes();

  struct Directory {
    std::string path;  // "/a"; "/" stands for the files in the root itself
    std::uint64_t bytes = 0;
    std::uint64_t inodes = 0;
  };
  struct Count {
    std::vector<Directory> directories;  // largest first
    std::uint64_t inodes = 0;            // looked at
    bool complete = false;
  };
  Result<Count> count(const std::stop_token& stop = {});

  // The last count as JSON, and has another begin when it is old: docs/MONITORING.md.
  std::string text() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  struct Walk;
  void run(const std::stop_token& stop);

  Volume& volume_;
  const std::size_t most_inodes_;
  Mutex mutex_;
  CondVar asked_;
  bool wanted_ GUARDED_BY(mutex_) = false;
  Count last_ GUARDED_BY(mutex_);
  Clock::time_point counted_ GUARDED_BY(mutex_);  // the epoch: never
  std::jthread thread_;
};

}  // namespace spillfs::fs
