// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/fused_segments.h"

#include <spdlog/spdlog.h>

#include <cerrno>

namespace spillfs::fs {
namespace {

constexpr std::size_t kRecordsPage = 1000;

}  // namespace

Result<> FusedSegments::load() {
  SegmentId after = kNoSegment;
  for (;;) {
    const auto page = SPILLFS_TRY(index_.segments(SegmentKind::kFused, after, kRecordsPage));
    if (page.empty()) return {};
    MutexLock lock(mutex_);
    for (const index::Segment& segment : page) {
      states_[number(segment.id)] = {.bytes = segment.bytes, .live = segment.live};
      space_.add_dead(segment.bytes - segment.live);
    }
    after = page.back().id;
  }
}

Result<Location> FusedSegments::append(const storage::RecordInfo& info,
                                       std::span<const Bytes> payload) {
  const std::uint64_t length = SPILLFS_TRY(storage::record_layout(info)).length;
  for (;;) {
    const auto segment = SPILLFS_TRY(take(length));
    const auto location = segment->append(info, payload);
    if (location && location->has_value()) return **location;
    give_back(segment->id(), length);
    if (location) {
      SPILLFS_TRY(retire(segment));
    } else if (!leave_failed(segment, location.error())) {
      return tl::unexpected(location.error());
    }
  }
}

Result<std::shared_ptr<storage::FusedSegment>> FusedSegments::take(std::uint64_t length) {
  MutexLock lock(mutex_);
  if (current_ == nullptr) SPILLFS_TRY(begin());
  states_[number(current_->id())].live += length;
  return current_;
}

void FusedSegments::give_back(SegmentId id, std::uint64_t length) {
  MutexLock lock(mutex_);
  states_[number(id)].live -= length;
}

Result<> FusedSegments::begin() {
  for (;;) {
    auto chosen = store_.choose_directory();
    if (!chosen && chosen.error().code == ENOSPC) chosen = store_.choose_last_resort();
    const DirectoryId directory = SPILLFS_TRY(std::move(chosen));
    const SegmentId id{SPILLFS_TRY(numbers_.next(index::Counter::kSegment))};
    SPILLFS_TRY(index_.commit(
        {.put_segments = {{.id = id, .kind = SegmentKind::kFused, .directory = directory}},
         .put_queue = {{index::QueueKind::kOpening, number(id)}}}));
    auto made = store_.create_fused(id, directory);
    states_.try_emplace(number(id));
    if (made) {
      current_ = *std::move(made);
      return {};
    }
    if (!store_.report_failure(directory, made.error())) return tl::unexpected(made.error());
  }
}

// Whether appends can go on elsewhere: its data directory has failed and another has not.
bool FusedSegments::leave_failed(const std::shared_ptr<storage::FusedSegment>& segment,
                                 const Error& why) {
  MutexLock lock(mutex_);
  if (current_ != segment) return true;  // another thread has left it already
  if (!store_.report_failure(segment->directory(), why)) return false;
  current_.reset();
  return true;
}

Result<> FusedSegments::retire(const std::shared_ptr<storage::FusedSegment>& full) {
  MutexLock lock(mutex_);
  return current_ == full ? retire_current() : Result<>();
}

Result<> FusedSegments::retire_current() {
  SPILLFS_TRY(current_->seal());
  SPILLFS_TRY(
      index_.commit({.erase_queue = {{index::QueueKind::kOpening, number(current_->id())}}}));
  current_.reset();
  return {};
}

Result<> FusedSegments::seal() {
  MutexLock lock(mutex_);
  return current_ != nullptr ? retire_current() : Result<>();
}

void FusedSegments::commit(const Location& record) {
  MutexLock lock(mutex_);
  states_[number(record.segment)].bytes += record.record_length;
}

void FusedSegments::abandon(const Location& record) {
  give_back(record.segment, record.record_length);
}

void FusedSegments::kill(const Location& record) {
  give_back(record.segment, record.record_length);
  space_.add_dead(record.record_length);
}

std::vector<SegmentId> FusedSegments::empty() {
  std::vector<SegmentId> found;
  MutexLock lock(mutex_);
  for (const auto& [id, state] : states_) {
    if (state.live == 0 && !is_current(id)) found.push_back(SegmentId{id});
  }
  return found;
}

std::vector<SegmentId> FusedSegments::sparse() {
  std::vector<SegmentId> found;
  MutexLock lock(mutex_);
  for (const auto& [id, state] : states_) {
    const bool sparse = state.live != 0 && state.live * 2 < state.bytes;
    if (sparse && !state.damaged && !is_current(id)) found.push_back(SegmentId{id});
  }
  return found;
}

Result<SegmentId> FusedSegments::worst() {
  std::uint64_t worst = number(kNoSegment);
  std::uint64_t most = 0;
  MutexLock lock(mutex_);
  for (const auto& [id, state] : states_) {
    if (state.damaged || state.bytes <= state.live + most) continue;
    worst = id;
    most = state.bytes - state.live;
  }
  if (most != 0 && is_current(worst)) SPILLFS_TRY(retire_current());
  return SegmentId{worst};
}

void FusedSegments::mark_damaged(SegmentId id, const Error& why) {
  MutexLock lock(mutex_);
  bool& damaged = states_[number(id)].damaged;
  if (!damaged) {
    spdlog::error("segment {} is damaged and stays as it is: {}",
                  storage::segment_name(SegmentKind::kFused, id), describe(why));
  }
  damaged = true;
}

void FusedSegments::forget(SegmentId id, std::uint64_t bytes) {
  space_.reclaimed(bytes);
  MutexLock lock(mutex_);
  states_.erase(number(id));
}

FusedSegments::Totals FusedSegments::totals() {
  Totals totals;
  MutexLock lock(mutex_);
  for (const auto& [id, state] : states_) {
    ++totals.segments;
    totals.bytes += state.bytes;
    totals.live += state.live;
  }
  return totals;
}

}  // namespace spillfs::fs
