// SPDX-License-Identifier: Apache-2.0
#include "storage/write_behind.h"

#include <algorithm>
#include <utility>

namespace spillfs::storage {

WriteBehind::WriteBehind(Staging& staging, WritePool& pool, File& file, StagedPlace place)
    : staging_(staging),
      pool_(pool),
      file_(file),
      current_(std::make_shared<StagedFile>(staging, place)) {}

WriteBehind::~WriteBehind() {
  MutexLock lock(mutex_);
  while (!flying_.empty()) changed_.wait(mutex_);
}

Result<> WriteBehind::append(Bytes from) {
  SPILLFS_TRY(failure());
  const std::uint64_t before = current_->size();
  const Bytes first = from.first(std::min<std::uint64_t>(from.size(), kBatch - before));
  const Bytes rest = from.subspan(first.size());
  const bool fills = before + first.size() == kBatch;
  {
    MutexLock lock(mutex_);
    if (fills && flying_.size() >= kDepth) return fail(ENOBUFS, "the disk is behind");
  }
  SPILLFS_TRY(current_->write(first, before));
  if (!fills) return {};
  const auto [inode, offset] = current_->place();
  StagedFile next(staging_, {inode, offset + kBatch});
  if (auto staged = next.write(rest, 0); !staged) {
    SPILLFS_TRY(current_->truncate(before));
    return staged;
  }
  send();
  current_ = std::make_shared<StagedFile>(std::move(next));
  return {};
}

void WriteBehind::adopt(StagedFile staged) { *current_ = std::move(staged); }

Result<std::vector<WriteBehind::Range>> WriteBehind::read(MutableBytes into, std::uint64_t offset) {
  std::vector<Range> found;
  const auto copy = [&](const StagedFile& batch) {
    const std::uint64_t start = batch.place().offset;
    const std::uint64_t from = std::max(offset, start);
    const std::uint64_t to = std::min(offset + into.size(), start + batch.size());
    if (from >= to) return;
    const Range range{.from = from - offset, .to = to - offset};
    batch.read(into.subspan(range.from, range.to - range.from), from - start);
    found.push_back(range);
  };
  MutexLock lock(mutex_);
  if (error_) return tl::unexpected(*error_);
  for (const auto& batch : flying_) copy(*batch);
  copy(*current_);
  return found;
}

Result<bool> WriteBehind::finish() {
  finishing_ = true;
  if (current_->size() != 0) {
    send();
    current_ = std::make_shared<StagedFile>(staging_, current_->place());
  }
  SPILLFS_TRY(failure());
  MutexLock lock(mutex_);
  return flying_.empty();
}

Result<> WriteBehind::drain() {
  SPILLFS_TRY(finish());
  {
    MutexLock lock(mutex_);
    while (!flying_.empty()) changed_.wait(mutex_);
  }
  return failure();
}

void WriteBehind::send() {
  {
    MutexLock lock(mutex_);
    flying_.push_back(current_);
  }
  pool_.submit([this, batch = current_] { write(batch); });
}

// What is behind the last batch's bytes in its block of the disk is zeros, never another file's.
void WriteBehind::write(const std::shared_ptr<StagedFile>& batch) {
  const auto written =
      file_.write_direct(batch->padded_spans(kDirectAlignment), batch->place().offset);
  MutexLock lock(mutex_);
  if (!written && !error_) error_ = written.error();
  std::erase(flying_, batch);
  if (written) {
    static_cast<void>(batch->truncate(0));  // whoever is told finds the blocks in the arena
  } else {
    lost_.push_back(batch);
  }
  changed_.notify_all();
}

Result<> WriteBehind::failure() {
  MutexLock lock(mutex_);
  if (error_) return tl::unexpected(*error_);
  return {};
}

}  // namespace spillfs::storage
