// SPDX-License-Identifier: Apache-2.0
// The pool of dead private segments whose blocks wait in recycle/ for a new one. Bounded in bytes.
// Threads: every method may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"

namespace spillfs::storage {

class SegmentPool {
 public:
  explicit SegmentPool(std::uint64_t limit) : limit_(limit) {}

  // Removes what an earlier process left in the recycle folder of `device`.
  static Result<> clear(Device& device);

  // Moves the file `path` into the pool; removes it when there is no room or it has no blocks.
  // ENOENT when it does not exist.
  Result<> put(Device& device, DirectoryId directory, const std::string& path, SegmentId id);
  // Moves a pooled file of the directory to `path`. False when there is none.
  Result<bool> take(Device& device, DirectoryId directory, const std::string& path);
  // Takes the entries out one by one for drop_pool().
  struct Entry {
    DirectoryId directory{};
    SegmentId id = kNoSegment;
    std::uint64_t allocated = 0;  // bytes
  };
  std::vector<Entry> take_all();
  [[nodiscard]] std::uint64_t bytes() const;

  static std::string path_of(SegmentId id);

 private:
  bool reserve(std::uint64_t allocated) EXCLUDES(mutex_);
  void unreserve(std::uint64_t allocated) EXCLUDES(mutex_);

  const std::uint64_t limit_;
  mutable Mutex mutex_;
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage
