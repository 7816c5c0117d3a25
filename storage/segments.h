// SPDX-License-Identifier: Apache-2.0
// SegmentStore: the segments of a store, over its data directories. It makes, opens, removes and
// recycles them; which are live is the index's to say.
//
// Threads: every method may be called from any thread.
// Errors: as the Device's; a damaged or foreign segment is EIO.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"
#include "storage/format.h"
#include "storage/fused_segment.h"
#include "storage/private_segment.h"
#include "storage/segment_pool.h"

namespace spillfs::storage {

struct SegmentOptions {
  std::uint64_t segment_size = 64 * kMiB;        // of a fused segment, superblock included
  std::uint64_t pool_limit = 1024 * kMiB;        // bytes kept in recycle/, over all directories
  std::uint64_t preallocate_step = 16 * kMiB;    // of a private segment that is streamed into
  std::size_t open_fused_limit = 64;             // fused files kept open for reading
  unsigned min_free_percent = 5;                 // a directory with less takes no new segment
  std::uint64_t retry_failed_after = 60'000;     // milliseconds a failed directory is left out
  std::optional<std::uint64_t> first_directory;  // for tests; random when not set
  Access access = Access::kReadWrite;            // kReadOnly: recycle/ keeps what is in it
};

// A new private segment may start on a dead one's blocks only when all its bytes come in order
// through the daemon. A passthrough writer takes kFresh.
enum class Blocks : std::uint8_t { kFresh, kMayRecycle };

struct FoundSegment {
  SegmentKind kind{};
  SegmentId id = kNoSegment;

  friend bool operator==(const FoundSegment&, const FoundSegment&) = default;
};

// "7.fused", "7.private".
std::string segment_name(SegmentKind kind, SegmentId id);
// "segments/7.fused": relative to the data directory.
std::string segment_path(SegmentKind kind, SegmentId id);
// Of the segment that `location`, which is somewhere, lies in.
SegmentKind segment_kind(const Location& location);
std::string segment_name(const Location& location);
std::string segment_path(const Location& location);

class SegmentStore {
 public:
  // A device's position is its DirectoryId. Empties every recycle folder, unless the options say
  // kReadOnly; a device on which that fails is left out of new placements. EINVAL for no device.
  static Result<std::unique_ptr<SegmentStore>> open(std::vector<std::unique_ptr<Device>> devices,
                                                    const StoreId& store, SegmentOptions options);

  [[nodiscard]] std::vector<DirectoryId> directories() const;
  [[nodiscard]] const SegmentOptions& options() const { return options_; }
  [[nodiscard]] const StoreId& store_id() const { return store_; }
  Device& device(DirectoryId directory) { return *devices_.at(number(directory)); }

  // The next directory for a new segment: round robin over those neither failed nor nearly full.
  // ENOSPC when there is none (EIO when all have failed).
  Result<DirectoryId> choose_directory();
  // The healthy directory with the most room, nearly full or not: for bytes already accepted.
  Result<DirectoryId> choose_last_resort();
  // Whether choose_directory() would find one that has `bytes` to spare.
  Result<> check_room(std::uint64_t bytes);
  // A segment could not be made or written there. True when the directory is to blame and another
  // takes new segments: then this one is left out of new placements for a while. False: it is the
  // caller's to report.
  bool report_failure(DirectoryId directory, const Error& why);
  // Whether `directory` has `bytes` to spare. ENOSPC where it has not: what is in the way of a
  // write that takes blocks without asking for them (allocate() asks by itself).
  Result<> check_room_in(DirectoryId directory, std::uint64_t bytes);
  // Whether a directory leaves space for the index.
  [[nodiscard]] bool keeps_reserve() const;
  // Whether it has failed lately.
  bool is_left_out(DirectoryId directory) EXCLUDES(mutex_);
  // At most ~100 ms old while there is plenty.
  Result<DeviceSpace> space(DirectoryId directory);

  // EEXIST when there is such a file. The private segment is empty.
  Result<std::unique_ptr<PrivateSegment>> create_private(SegmentId id, DirectoryId directory,
                                                         InodeId inode, Blocks blocks);
  // `length` is the file's as the index has it; EIO when the backing file is shorter or missing.
  Result<std::unique_ptr<PrivateSegment>> open_private(SegmentId id, DirectoryId directory,
                                                       std::uint64_t length);
  Result<std::shared_ptr<FusedSegment>> create_fused(SegmentId id, DirectoryId directory);
  // For reading, also of one that is still appended to. The superblock has been verified. The
  // reader's reference is its lease: the bytes stay readable after remove().
  Result<std::shared_ptr<File>> open_fused(SegmentId id, DirectoryId directory);
  // Gives back what a fused segment preallocated, when its FusedSegment died without seal().
  Result<> trim_fused(SegmentId id, DirectoryId directory);

  // No such file is success.
  Result<> remove(SegmentKind kind, SegmentId id, DirectoryId directory);
  // Keeps a dead private segment's blocks for a later one, or removes it when the pool has no room.
  // The caller knows that nobody holds it open and that its death is durable.
  Result<> recycle(SegmentId id, DirectoryId directory);
  // Removes what the pool holds; goes on after an error and returns the first.
  Result<> drop_pool();
  [[nodiscard]] std::uint64_t pool_bytes() const { return pool_.bytes(); }

  // The segments on disk, in any order; names that are not a segment's are left out.
  Result<std::vector<FoundSegment>> list(DirectoryId directory);
  // Makes, removals and recyclings so far survive power loss.
  Result<> sync_directory(DirectoryId directory);

 private:
  struct Health {
    std::uint64_t failed_until = 0;  // steady clock, milliseconds
    Result<DeviceSpace> space = fail(EAGAIN);
    std::uint64_t measured_at = 0;  // steady clock, milliseconds
  };
  struct OpenFused {
    SegmentId id;
    DirectoryId directory;
    std::shared_ptr<File> file;
  };

  SegmentStore(std::vector<std::unique_ptr<Device>> devices, const StoreId& store,
               SegmentOptions options);
  Result<std::shared_ptr<File>> make_private(SegmentId id, DirectoryId directory, Blocks blocks);
  Result<std::shared_ptr<File>> open_existing(SegmentKind kind, SegmentId id,
                                              DirectoryId directory);
  Result<std::shared_ptr<File>> verified_fused(SegmentId id, DirectoryId directory);
  std::shared_ptr<File> cached_fused(SegmentId id, DirectoryId directory) EXCLUDES(mutex_);
  void cache_fused(SegmentId id, DirectoryId directory, std::shared_ptr<File> file)
      EXCLUDES(mutex_);
  void forget_fused(SegmentId id) EXCLUDES(mutex_);
  Result<DeviceSpace> healthy_space(DirectoryId directory) EXCLUDES(mutex_);
  Result<DirectoryId> choose_with_room(std::uint64_t first, std::uint64_t bytes);

  const std::vector<std::unique_ptr<Device>> devices_;
  const StoreId store_;
  const SegmentOptions options_;
  SegmentPool pool_;
  std::atomic<std::uint64_t> next_directory_;

  Mutex mutex_;
  std::vector<Health> health_ GUARDED_BY(mutex_);
  std::list<OpenFused> open_fused_ GUARDED_BY(mutex_);  // most recently used first
};

}  // namespace spillfs::storage
