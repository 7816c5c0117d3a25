// SPDX-License-Identifier: Apache-2.0
// Bytes that are not what was sealed: what scrub says of them, and which files have such.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

struct Damage {
  std::string segment;       // "7.fused"
  std::uint64_t offset = 0;  // bytes, in the segment
  InodeId inode{};           // 0: the segment itself
  std::string path;          // of the file in the mount; empty where unknown
  std::string what;
};

// What a look at one segment found.
struct Scrubbed {
  SegmentId segment = kNoSegment;
  std::uint64_t bytes = 0;     // compared with their sums
  std::uint64_t files = 0;     // of them
  std::uint64_t unsummed = 0;  // files that have no sums now
  std::vector<Damage> damage;
};

struct ScrubOptions {
  // Told of the bytes read since it was last asked; may sleep. False: stop.
  std::function<bool(std::uint64_t bytes)> pace;
  std::chrono::seconds settled{0};  // files changed since are left for another time
};

// The inodes whose sealed bytes scrub has found to be wrong. Threads: every method may be called
// from any thread.
class DamagedFiles {
 public:
  void add(InodeId id) {
    MutexLock lock(mutex_);
    ids_.insert(number(id));
    count_ = ids_.size();
  }
  void remove(InodeId id) {
    if (count_ == 0) return;
    MutexLock lock(mutex_);
    ids_.erase(number(id));
    count_ = ids_.size();
  }
  [[nodiscard]] bool contains(InodeId id) {
    if (count_ == 0) return false;
    MutexLock lock(mutex_);
    return ids_.contains(number(id));
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  Mutex mutex_;
  std::unordered_set<std::uint64_t> ids_ GUARDED_BY(mutex_);
  std::atomic<std::size_t> count_{0};
};

}  // namespace spillfs::fs
