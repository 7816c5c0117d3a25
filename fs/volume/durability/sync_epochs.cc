// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/sync_epochs.h"

#include <algorithm>

namespace spillfs::fs {
namespace {

bool contains(const std::vector<index::SyncMark::Range>& ranges, index::Epoch epoch) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
    return range.first <= epoch && epoch <= range.last;
  });
}

}  // namespace

void SyncEpochs::start(const index::SyncMark& found, const BootView& view, BootedSince booted) {
  MutexLock lock(mutex_);
  view_ = view;
  doubtful_ = found.doubtful;
  synced_ = found.synced;
  if (booted == BootedSince::kYes && found.epoch > found.synced) {
    doubtful_.push_back({.first = index::Epoch{number(found.synced) + 1}, .last = found.epoch});
    synced_ = found.epoch;
  }
  doubtful_at_start_ = doubtful_;
  any_doubtful_ = had_doubtful_ = !doubtful_.empty();
  started_ = true;
  now_ = index::Epoch{std::max(number(found.epoch), number(found.synced)) + 1};
}

bool SyncEpochs::on_disk(index::Epoch sealed_in) const {
  return sealed_in <= synced_.load() && !is_doubtful(sealed_in);
}

bool SyncEpochs::is_doubtful(index::Epoch sealed_in) const {
  if (!any_doubtful_) return false;
  MutexLock lock(mutex_);
  return contains(doubtful_, sealed_in);
}

bool SyncEpochs::was_doubtful(index::Epoch sealed_in) const {
  MutexLock lock(mutex_);
  return contains(doubtful_at_start_, sealed_in);
}

index::SyncMark SyncEpochs::mark() const {
  MutexLock lock(mutex_);
  return {.boot = view_.boot.id,
          .epoch = now_,
          .synced = synced_,
          .doubtful = doubtful_,
          .certain = view_.boot.certain,
          .clock = view_.now()};
}

index::SyncMark SyncEpochs::next() const {
  index::SyncMark mark = this->mark();
  mark.epoch = index::Epoch{number(mark.epoch) + 1};
  return mark;
}

void SyncEpochs::clear_doubtful() {
  MutexLock lock(mutex_);
  doubtful_.clear();
  any_doubtful_ = false;
}

}  // namespace spillfs::fs
