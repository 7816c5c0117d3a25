// SPDX-License-Identifier: Apache-2.0
// WriteBack: sends the oldest dirty pages of a cached stream to disk, so that their number stays
// bounded. The pages stay cached.
// Threads: for one caller at a time; the work is the pool's.
#pragma once

#include <memory>
#include <optional>

#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"
#include "storage/write_pool.h"

namespace spillfs::storage {

class WriteBack : public std::enable_shared_from_this<WriteBack> {
 public:
  static constexpr std::uint64_t kStep = 8 * kMiB;
  static constexpr std::size_t kDepth = 3;  // steps on their way at a time

  WriteBack(WritePool& pool, std::shared_ptr<File> file) : pool_(pool), file_(std::move(file)) {}

  // What is more than `window` bytes before `length` is sent. False when the disk is so far behind
  // that more than that and kDepth steps is dirty. The error of an earlier step, for good.
  Result<bool> keep_within(std::uint64_t window, std::uint64_t length) EXCLUDES(mutex_);
  // The error of a step that has come back.
  Result<> failure() EXCLUDES(mutex_);

 private:
  void write(std::uint64_t from) EXCLUDES(mutex_);

  WritePool& pool_;
  const std::shared_ptr<File> file_;
  std::uint64_t sent_ = 0;

  Mutex mutex_;
  std::size_t flying_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage
