// SPDX-License-Identifier: Apache-2.0
#include "fs/store/open_store.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <utility>

#include "index/rocksdb_index.h"
#include "storage/segments.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kLeastReserve = 256 * kMiB;
constexpr std::uint64_t kReserveShare = 50;  // a fiftieth: 2 %

// An index that is gone must not become an empty one that forgets all files.
Result<> check_index_is_there(const Store& store, storage::SegmentStore& segments) {
  if (SPILLFS_TRY(store.has_index())) return {};
  for (DirectoryId directory : segments.directories()) {
    if (SPILLFS_TRY(segments.list(directory)).empty()) continue;
    return fail(EBADMSG,
                fmt::format("{} is missing or damaged, but the store has segments; restore the "
                            "index, or make a new one from them with 'spillfs check {} --rebuild'",
                            store.index_path(), store.path()));
  }
  return {};
}

}  // namespace

std::uint64_t reserve_for_index(const Store& store, const MountOptions& options) {
  if (options.index_reserve) return *options.index_reserve;
  struct statvfs found {};
  if (::fstatvfs(store.folder().descriptor(), &found) != 0) return kLeastReserve;
  return std::max(kLeastReserve, found.f_blocks * found.f_frsize / kReserveShare);
}

Result<std::unique_ptr<storage::SegmentStore>> open_segments(const Store& store,
                                                             const MountOptions& options,
                                                             SlowWatch* watch) {
  storage::SegmentOptions segment_options;
  segment_options.segment_size = options.segment_size;
  segment_options.pool_limit = options.pool;
  segment_options.access = store.access();
  auto devices = SPILLFS_TRY(store.open_devices(reserve_for_index(store, options), watch));
  return storage::SegmentStore::open(std::move(devices), store.id(), segment_options);
}

Result<Volume::Parts> open_parts(const Store& store, const MountOptions& options,
                                 std::unique_ptr<storage::Staging> staging, SlowWatch* watch) {
  auto segments = SPILLFS_TRY(open_segments(store, options, watch));
  SPILLFS_TRY(check_index_is_there(store, *segments));
  auto folder = SPILLFS_TRY(store.open_index());
  auto index = index::RocksdbIndex::open(
      std::move(folder),
      {.block_cache = options.block_cache,
       .names =
           store.format() >= kKeyedNamesFormat ? index::Names::kKeyed : index::Names::kAsTheyAre,
       .hash = {},
       .no_space = [&store] { return store.drop_ballast(); },
       .changes = store.access() == storage::Access::kReadOnly ? index::Changes::kToMemory
                                                               : index::Changes::kToDisk});
  if (!index && index.error().code == EIO) {
    return fail(EIO,
                fmt::format("{}; 'spillfs check {} --rebuild' makes a new one from the segments",
                            index.error().context, store.path()));
  }
  if (!index) return tl::unexpected(index.error());
  Volume::Parts parts;
  parts.index = *std::move(index);
  parts.segments = std::move(segments);
  parts.staging = std::move(staging);
  return parts;
}

}  // namespace spillfs::fs
