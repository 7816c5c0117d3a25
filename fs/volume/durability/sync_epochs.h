// SPDX-License-Identifier: Apache-2.0
// Which sealed bytes are on disk. Every seal carries the epoch it was made in; a full sync ends
// one, and what was sealed in it or before is on disk. What was sealed after the last full sync
// before the power went is doubtful until its bytes have been compared with their sums. Threads:
// every method may be called from any thread; next(), finish() and clear_doubtful() by one at a
// time.
#pragma once

#include <atomic>
#include <vector>

#include "fs/system/boot.h"
#include "index/index.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class SyncEpochs {
 public:
  // What the index says of an earlier mount, and the machine's boot now. Where it was booted since,
  // what was not synced then is doubtful.
  void start(const index::SyncMark& found, const BootView& view, BootedSince booted);

  [[nodiscard]] bool started() const { return started_; }
  // For a seal whose bytes have been written.
  [[nodiscard]] index::Epoch now() const { return now_.load(); }
  [[nodiscard]] bool on_disk(index::Epoch sealed_in) const;
  [[nodiscard]] bool is_doubtful(index::Epoch sealed_in) const;
  [[nodiscard]] bool any_doubtful() const { return any_doubtful_; }
  // At the start, whatever has been looked at since.
  [[nodiscard]] bool was_doubtful(index::Epoch sealed_in) const;
  [[nodiscard]] bool had_doubtful() const { return had_doubtful_; }

  // What is so now, for the index.
  [[nodiscard]] index::SyncMark mark() const EXCLUDES(mutex_);
  // As it is once the next epoch has begun; it begins with advance().
  [[nodiscard]] index::SyncMark next() const;
  void advance() { now_ = index::Epoch{number(now_.load()) + 1}; }
  // All that was sealed up to `epoch` is on disk.
  void finish(index::Epoch epoch) { synced_ = epoch; }
  // All that was doubtful has been looked at.
  void clear_doubtful() EXCLUDES(mutex_);

 private:
  std::atomic<index::Epoch> now_{index::Epoch{1}};
  std::atomic<index::Epoch> synced_{index::Epoch{0}};
  std::atomic<bool> any_doubtful_{false};
  std::atomic<bool> had_doubtful_{false};
  std::atomic<bool> started_{false};
  mutable Mutex mutex_;
  BootView view_ GUARDED_BY(mutex_);
  std::vector<index::SyncMark::Range> doubtful_ GUARDED_BY(mutex_);
  std::vector<index::SyncMark::Range> doubtful_at_start_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
