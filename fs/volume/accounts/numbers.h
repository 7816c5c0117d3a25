// SPDX-License-Identifier: Apache-2.0
// Numbers of inodes, segments and records, none of them ever handed out twice: from blocks that the
// index reserves. A file handle that a client keeps (name_to_handle_at(2), NFS) is an inode's
// number, so a block of those is on disk before any of it is used: a loss of power does not bring
// one back. Segments' numbers are compared with their files then. Threads: any.
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
    if (block.next == block.end) SPILLFS_TRY(refill(counter, block));
    return block.next++;
  }

  // Whether it is of a segment that this process made.
  [[nodiscard]] bool is_new(SegmentId id) const {
    return first_segment_ != 0 && number(id) >= first_segment_;
  }

  static constexpr std::uint64_t kInodes = 65536;  // reserved at a time: each takes a sync

 private:
  static constexpr std::uint64_t kBlock = 64;
  struct Block {
    std::uint64_t next = 0;
    std::uint64_t end = 0;
  };

  Result<> refill(index::Counter counter, Block& block) REQUIRES(mutex_) {
    const bool inodes = counter == index::Counter::kInode;
    const std::uint64_t count = inodes ? kInodes : kBlock;
    const std::uint64_t first = SPILLFS_TRY(index_.reserve(counter, count));
    if (inodes) SPILLFS_TRY(index_.sync());
    block = {.next = first, .end = first + count};
    if (counter == index::Counter::kSegment && first_segment_ == 0) first_segment_ = first;
    return {};
  }

  index::Index& index_;
  Mutex mutex_;
  std::array<Block, 3> blocks_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> first_segment_ = 0;  // made by this process; 0: none so far
};

}  // namespace spillfs::fs
