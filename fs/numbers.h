// SPDX-License-Identifier: Apache-2.0
// Numbers of inodes, segments and records, none of them ever handed out twice: from blocks that the
// index reserves. Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "index/index.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class Numbers {
 public:
  explicit Numbers(index::Index& index) : index_(index) {}

  // Errors: the index's.
  Result<std::uint64_t> next(index::Counter counter) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    Block& block = blocks_.at(static_cast<std::size_t>(counter));
    if (block.next == block.end) {
      block.next = SPILLFS_TRY(index_.reserve(counter, kBlock));
      block.end = block.next + kBlock;
      if (counter == index::Counter::kSegment && first_segment_ == 0) first_segment_ = block.next;
    }
    return block.next++;
  }

  // Whether it is of a segment that this process made.
  [[nodiscard]] bool is_new(SegmentId id) const {
    return first_segment_ != 0 && number(id) >= first_segment_;
  }

 private:
  static constexpr std::uint64_t kBlock = 64;
  struct Block {
    std::uint64_t next = 0;
    std::uint64_t end = 0;
  };

  index::Index& index_;
  Mutex mutex_;
  std::array<Block, 3> blocks_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> first_segment_ = 0;  // made by this process; 0: none so far
};

}  // namespace spillfs::fs
