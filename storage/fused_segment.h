// SPDX-License-Identifier: Apache-2.0
// FusedSegment: the append-only file that small files share, while it is being filled. Readers use
// SegmentStore::open_fused(). Made by SegmentStore::create_fused().
//
// Threads: every method may be called from any thread; appends write at the same time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"
#include "storage/format.h"

namespace spillfs::storage {

class FusedSegment {
 public:
  // A new file on `device`, which outlives the segment: writes the superblock and preallocates
  // `capacity` bytes where there is room for them.
  static Result<std::shared_ptr<FusedSegment>> create(Device& device, const StoreId& store,
                                                      SegmentId id, DirectoryId directory,
                                                      std::uint64_t capacity);

  // Appends one record; `info` has been measure()d over `payload` (EINVAL when its data_length is
  // not the payload's). Returns nothing when the segment has no room: seal it, take another. An
  // empty segment takes a record of any size. When it returns, the bytes are in the page cache and
  // survive any process. After a failure the reserved range is dead space.
  Result<std::optional<Location>> append(const RecordInfo& info, std::span<const Bytes> payload);

  // Would a record of `length` bytes (RecordLayout::length) fit now? Another append may take the
  // room first.
  [[nodiscard]] bool fits(std::uint64_t length) const;
  // Gives the preallocated rest back; every later append finds no room. May be repeated.
  Result<> seal();
  // Every append that has returned survives power loss.
  Result<> sync();

  [[nodiscard]] SegmentId id() const { return id_; }
  [[nodiscard]] DirectoryId directory() const { return directory_; }
  // Bytes used so far, superblock and dead ranges included.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] const std::shared_ptr<File>& file() const { return file_; }

 private:
  FusedSegment(Device& device, std::shared_ptr<File> file, SegmentId id, DirectoryId directory,
               std::uint64_t capacity);
  Result<> start(const StoreId& store);
  std::optional<std::uint64_t> reserve(std::uint64_t length) EXCLUDES(mutex_);
  [[nodiscard]] bool has_room(std::uint64_t length) const REQUIRES(mutex_);
  Result<> write_record(Bytes prefix, std::span<const Bytes> payload, std::uint64_t record_length,
                        std::uint64_t offset);

  Device& device_;
  const std::shared_ptr<File> file_;
  const SegmentId id_;
  const DirectoryId directory_;
  const std::uint64_t capacity_;
  std::atomic<bool> name_synced_ = false;

  mutable Mutex mutex_;
  std::uint64_t end_ GUARDED_BY(mutex_) = kSuperblockSize;
  std::uint64_t preallocated_ GUARDED_BY(mutex_) = 0;
  bool sealed_ GUARDED_BY(mutex_) = false;
};

}  // namespace spillfs::storage
