// SPDX-License-Identifier: Apache-2.0
// The space counters behind statfs and the quota. O(1), never blocks. All in bytes.
//   charged: what files (named or open) count for; reserved before a write is answered
//   dead:    what no file needs any more and reclaim has not given back yet
#pragma once

#include <atomic>
#include <cstdint>

#include "storage/base/result.h"

namespace spillfs::fs {

class Space {
 public:
  explicit Space(std::uint64_t quota) : quota_(quota) {}  // 0: no quota

  // Moves a file's charge from `before` to `after`. Growing beyond the quota fails with ENOSPC and
  // changes nothing; shrinking never fails. Dead bytes may take a quarter of the quota on top: with
  // less compaction would have to copy what is about to die. Beyond that EAGAIN, until reclaim has
  // given some back.
  Result<> move(std::uint64_t before, std::uint64_t after);
  // As move(), for what has happened already: never fails.
  void settle(std::uint64_t before, std::uint64_t after) { charged_ += after - before; }
  void die(std::uint64_t bytes) {
    charged_ -= bytes;
    dead_ += bytes;
  }
  // An orphan that would have died is used again.
  void revive(std::uint64_t bytes) {
    dead_ -= bytes;
    charged_ += bytes;
  }
  void add_dead(std::uint64_t bytes) { dead_ += bytes; }
  void reclaimed(std::uint64_t bytes) { dead_ -= bytes; }

  [[nodiscard]] std::uint64_t quota() const { return quota_; }
  [[nodiscard]] std::uint64_t charged() const { return charged_; }
  [[nodiscard]] std::uint64_t dead() const { return dead_; }
  // Of the quota, where there is one.
  [[nodiscard]] std::uint64_t left() const {
    const std::uint64_t charged = charged_;
    return quota_ > charged ? quota_ - charged : 0;
  }

 private:
  const std::uint64_t quota_;
  std::atomic<std::uint64_t> charged_{0};
  std::atomic<std::uint64_t> dead_{0};
};

}  // namespace spillfs::fs
