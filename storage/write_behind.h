// SPDX-License-Identifier: Apache-2.0
// WriteBehind: the end of a stream on its way to the disk, past the page cache. Bytes are copied
// once, into batches in the staging arena; full batches are written by O_DIRECT from a WritePool,
// several at a time.
//
// Threads: read() may run at the same time as itself; all else needs the caller to be alone.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"
#include "storage/staging.h"
#include "storage/write_pool.h"

namespace spillfs::storage {

class WriteBehind {
 public:
  static constexpr std::uint64_t kBatch = 4 * kMiB;
  static constexpr std::size_t kDepth = 3;  // batches on their way at a time

  // The stream goes on at `place`, whose offset is a multiple of kDirectAlignment. What is given
  // must outlive it.
  WriteBehind(Staging& staging, WritePool& pool, File& file, StagedPlace place);
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;
  ~WriteBehind();  // waits

  // Takes all of `from`, at most kBatch bytes, or none: ENOBUFS when there is no room until a batch
  // is on disk. The error of an earlier batch, for good.
  Result<> append(Bytes from);
  // Takes over what has been staged of the stream from its `place`, at most kBatch bytes; nothing
  // may have been appended yet.
  void adopt(StagedFile staged);

  // Copies what has not reached the disk yet of the stream's bytes at `offset`; says which part of
  // `into` that is. What is left of it is on disk.
  struct Range {
    std::size_t from = 0;
    std::size_t to = 0;
  };
  // The error of a lost batch.
  Result<std::vector<Range>> read(MutableBytes into, std::uint64_t offset) EXCLUDES(mutex_);

  // Sends what is left, filled up with zeros to kDirectAlignment; no append() after it. False while
  // batches are on their way.
  Result<bool> finish() EXCLUDES(mutex_);
  [[nodiscard]] bool finishing() const { return finishing_; }
  // As finish(), and waits.
  Result<> drain() EXCLUDES(mutex_);

 private:
  void send() EXCLUDES(mutex_);
  void write(const std::shared_ptr<StagedFile>& batch) EXCLUDES(mutex_);
  Result<> failure() EXCLUDES(mutex_);

  Staging& staging_;
  WritePool& pool_;
  File& file_;
  std::shared_ptr<StagedFile> current_;
  bool finishing_ = false;

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::shared_ptr<StagedFile>> flying_ GUARDED_BY(mutex_);
  // Not on disk, and there may be another file's bytes: should this process die the next one has to
  // write them or to know that they are missing.
  std::vector<std::shared_ptr<StagedFile>> lost_ GUARDED_BY(mutex_);
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage
