// SPDX-License-Identifier: Apache-2.0
// The fused segments of a volume: one of them takes records at its end, and of each it is known how
// much is live, which is what reclaim chooses by. What is dead counts in the volume's Space.
//
// Threads: every method may be called from any thread. Errors: the SegmentStore's and the Index's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "fs/volume/accounts/numbers.h"
#include "fs/volume/accounts/space.h"
#include "index/index.h"
#include "storage/base/bytes.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/segments.h"

namespace spillfs::fs {

class FusedSegments {
 public:
  FusedSegments(storage::SegmentStore& store, index::Index& index, Numbers& numbers, Space& space)
      : store_(store), index_(index), numbers_(numbers), space_(space) {}

  // Learns from the index which there are; before anything else.
  Result<> load();

  // Writes a record into a data directory that takes it; ENOSPC when none has room. It counts as
  // live from now on, so that reclaim keeps its segment; the caller says afterwards what became of
  // it: commit() or abandon().
  Result<Location> append(const storage::RecordInfo& info, std::span<const Bytes> payload);
  void commit(const Location& record);   // the index names it
  void abandon(const Location& record);  // the index will never name it
  void kill(const Location& record);     // the index names it no more

  // For reclaim; never the one that takes records.
  std::vector<SegmentId> empty();   // no record in it is live
  std::vector<SegmentId> sparse();  // less than half of its bytes are
  // The one with the most dead bytes. If it took records, it does no more. kNoSegment: none has
  // any.
  Result<SegmentId> worst();
  // It can't be compacted: left as it is until the next start.
  void mark_damaged(SegmentId id, const Error& why);
  // Its file is gone, and `bytes` of records with it.
  void forget(SegmentId id, std::uint64_t bytes);

  // The next record begins another segment.
  Result<> seal();

  struct Totals {
    std::uint64_t segments = 0;
    std::uint64_t bytes = 0;  // of records
    std::uint64_t live = 0;
  };
  Totals totals();

 private:
  struct State {
    std::uint64_t bytes = 0;
    std::uint64_t live = 0;  // with those that are being written
    bool damaged = false;
  };

  Result<std::shared_ptr<storage::FusedSegment>> take(std::uint64_t length) EXCLUDES(mutex_);
  void give_back(SegmentId id, std::uint64_t length) EXCLUDES(mutex_);
  Result<> begin() REQUIRES(mutex_);
  bool leave_failed(const std::shared_ptr<storage::FusedSegment>& segment, const Error& why)
      EXCLUDES(mutex_);
  Result<> retire(const std::shared_ptr<storage::FusedSegment>& full) EXCLUDES(mutex_);
  Result<> retire_current() REQUIRES(mutex_);
  [[nodiscard]] bool is_current(std::uint64_t id) const REQUIRES(mutex_) {
    return current_ != nullptr && number(current_->id()) == id;
  }

  storage::SegmentStore& store_;
  index::Index& index_;
  Numbers& numbers_;
  Space& space_;

  Mutex mutex_;
  std::shared_ptr<storage::FusedSegment> current_ GUARDED_BY(mutex_);
  std::unordered_map<std::uint64_t, State> states_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
