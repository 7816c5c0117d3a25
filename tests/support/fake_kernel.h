// SPDX-License-Identifier: Apache-2.0
// A kernel with passthrough, as far as a Volume sees one: it takes backing files and gives them
// numbers. What it does with them the test does itself.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <vector>

#include "fs/volume/volume.h"
#include "storage/base/mutex.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {

// Reclaim asks from a thread of its own.
class HeldInodes {
 public:
  void insert(InodeId id) {
    MutexLock lock(mutex_);
    ids_.insert(id);
  }
  void erase(InodeId id) {
    MutexLock lock(mutex_);
    ids_.erase(id);
  }
  void clear() {
    MutexLock lock(mutex_);
    ids_.clear();
  }
  [[nodiscard]] bool contains(InodeId id) {
    MutexLock lock(mutex_);
    return ids_.contains(id);
  }

 private:
  Mutex mutex_;
  std::set<InodeId> ids_ GUARDED_BY(mutex_);
};

class FakeKernel {
 public:
  fs::Volume::Kernel side() {
    return {.holds = [this](InodeId id) { return held.contains(id); },
            .drop_caches = {},
            .wake = {},
            .lend = [this](int /*descriptor*/) { return lend(); },
            .take_back = [this](int id) { EXPECT_EQ(lent.erase(id), 1U) << id; },
            .drop_attributes = [this](InodeId id) { told.push_back(id); },
            .direct_writes = true};
  }

  std::set<int> lent;         // the numbers in use
  int last = 0;               // the last number it gave
  int refusal = 0;            // this error instead of a number
  HeldInodes held;            // inodes it knows
  std::vector<InodeId> told;  // to drop their attributes

 private:
  Result<int> lend() {
    if (refusal != 0) return fail(refusal, "not taken");
    lent.insert(++last);
    return last;
  }
};

// The backing file of a private file, as the kernel has it; null where there is none.
inline std::shared_ptr<storage::File> backing_file(const TestStore& store, InodeId inode) {
  const auto segments = store.index->segments(SegmentKind::kPrivate, kNoSegment, 1000).value();
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (segment->inode != inode) continue;
    return store.devices.at(number(segment->directory))
        ->open(storage::segment_path(SegmentKind::kPrivate, segment->id))
        .value_or(nullptr);
  }
  return nullptr;
}

}  // namespace spillfs::tests
