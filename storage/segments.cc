// SPDX-License-Identifier: Apache-2.0
#include "storage/segments.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <random>

namespace spillfs::storage {
namespace {

constexpr const char* kSegmentFolder = "segments";
constexpr std::uint64_t kSpaceAge = 100;  // milliseconds
constexpr std::uint64_t kPlenty = kGiB;   // more than is written in that time

std::uint64_t steady_milliseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

std::optional<FoundSegment> parse_name(std::string_view name) {
  FoundSegment found;
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view ending = name.substr(dot);
  if (ending != ".fused" && ending != ".private") return std::nullopt;
  found.kind = ending == ".fused" ? SegmentKind::kFused : SegmentKind::kPrivate;
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + dot, id);
  if (error != std::errc() || end != name.data() + dot || id == 0) return std::nullopt;
  found.id = SegmentId{id};
  return found;
}

// No such file is success: it is gone.
Result<> or_gone(Result<> done) {
  if (!done && done.error().code == ENOENT) return {};
  return done;
}

}  // namespace

std::string segment_name(SegmentKind kind, SegmentId id) {
  return fmt::format("{}.{}", number(id), kind == SegmentKind::kFused ? "fused" : "private");
}

std::string segment_path(SegmentKind kind, SegmentId id) {
  return fmt::format("{}/{}", kSegmentFolder, segment_name(kind, id));
}

SegmentKind segment_kind(const Location& location) {
  return location.placement == Placement::kFused ? SegmentKind::kFused : SegmentKind::kPrivate;
}

std::string segment_name(const Location& location) {
  return segment_name(segment_kind(location), location.segment);
}

std::string segment_path(const Location& location) {
  return segment_path(segment_kind(location), location.segment);
}

std::vector<DirectoryId> SegmentStore::directories() const {
  std::vector<DirectoryId> all;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    all.push_back(DirectoryId{static_cast<std::uint16_t>(i)});
  }
  return all;
}

SegmentStore::SegmentStore(std::vector<std::unique_ptr<Device>> devices, const StoreId& store,
                           SegmentOptions options)
    : devices_(std::move(devices)),
      store_(store),
      options_(options),
      pool_(options.pool_limit),
      next_directory_(options.first_directory ? *options.first_directory : std::random_device{}()),
      health_(devices_.size()) {}

Result<std::unique_ptr<SegmentStore>> SegmentStore::open(
    std::vector<std::unique_ptr<Device>> devices, const StoreId& store, SegmentOptions options) {
  if (devices.empty()) return fail(EINVAL, "a store needs at least one data directory");
  std::unique_ptr<SegmentStore> segments(new SegmentStore(std::move(devices), store, options));
  if (options.access == Access::kReadOnly) return segments;
  for (std::size_t i = 0; i < segments->devices_.size(); ++i) {
    auto cleared = SegmentPool::clear(*segments->devices_[i]);
    if (cleared) continue;
    const DirectoryId directory{static_cast<std::uint16_t>(i)};
    if (segments->report_failure(directory, cleared.error())) continue;
    spdlog::error("data directory {}: {}", segments->devices_[i]->name(),
                  describe(cleared.error()));
  }
  return segments;
}

Result<DirectoryId> SegmentStore::choose_directory() {
  return choose_with_room(next_directory_++, 0);
}

Result<> SegmentStore::check_room(std::uint64_t bytes) {
  SPILLFS_TRY(choose_with_room(0, bytes));
  return {};
}

Result<> SegmentStore::check_room_in(DirectoryId directory, std::uint64_t bytes) {
  const DeviceSpace room = SPILLFS_TRY(space(directory));
  if (bytes <= room.free) return {};
  return fail(ENOSPC, fmt::format("{} has no room for {} bytes", device(directory).name(), bytes));
}

bool SegmentStore::keeps_reserve() const {
  return std::any_of(devices_.begin(), devices_.end(),
                     [](const auto& device) { return device->reserve() != 0; });
}

Result<DirectoryId> SegmentStore::choose_last_resort() {
  std::optional<DirectoryId> best;
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const DirectoryId directory{static_cast<std::uint16_t>(i)};
    const auto room = healthy_space(directory);
    if (!room || (best && room->free <= most)) continue;
    best = directory;
    most = room->free;
  }
  if (best) return *best;
  return fail(EIO, "every data directory has failed");
}

Result<DirectoryId> SegmentStore::choose_with_room(std::uint64_t first, std::uint64_t bytes) {
  const std::size_t count = devices_.size();
  std::size_t failed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const DirectoryId directory{static_cast<std::uint16_t>((first + i) % count)};
    const auto room = healthy_space(directory);
    if (!room) {
      ++failed;
    } else if (room->free >= room->total / 100 * options_.min_free_percent + bytes) {
      return directory;
    }
  }
  if (failed == count) return fail(EIO, "every data directory has failed");
  return fail(ENOSPC, "no data directory has room for a new segment");
}

// As space(), EIO for one that has failed.
Result<DeviceSpace> SegmentStore::healthy_space(DirectoryId directory) {
  if (is_left_out(directory)) return fail(EIO);
  return space(directory);
}

bool SegmentStore::is_left_out(DirectoryId directory) {
  MutexLock lock(mutex_);
  return health_.at(number(directory)).failed_until > steady_milliseconds();
}

bool SegmentStore::report_failure(DirectoryId directory, const Error& why) {
  constexpr std::array kDirectorysFault{EIO, EROFS, EACCES, EPERM, ENOENT, ENODEV, ENXIO, EUCLEAN};
  if (std::find(kDirectorysFault.begin(), kDirectorysFault.end(), why.code) ==
      kDirectorysFault.end()) {
    return false;
  }
  const std::uint64_t now = steady_milliseconds();
  MutexLock lock(mutex_);
  bool others = false;
  for (std::size_t i = 0; i < health_.size(); ++i) {
    others = others || (i != number(directory) && health_[i].failed_until <= now);
  }
  if (!others) return false;
  std::uint64_t& failed_until = health_.at(number(directory)).failed_until;
  if (failed_until <= now) {
    spdlog::error("data directory {} takes no new segments for {} s: {}",
                  devices_[number(directory)]->name(), options_.retry_failed_after / 1000,
                  describe(why));
  }
  failed_until = now + options_.retry_failed_after;
  return true;
}

Result<DeviceSpace> SegmentStore::space(DirectoryId directory) {
  const std::uint64_t now = steady_milliseconds();
  {
    MutexLock lock(mutex_);
    const Health& known = health_.at(number(directory));
    const bool plenty = known.space && known.space->free > kPlenty;
    if (plenty && now - known.measured_at < kSpaceAge) return known.space;
  }
  auto measured = device(directory).space();
  MutexLock lock(mutex_);
  Health& health = health_.at(number(directory));
  health.space = measured;
  health.measured_at = now;
  return measured;
}

Result<std::unique_ptr<PrivateSegment>> SegmentStore::create_private(SegmentId id,
                                                                     DirectoryId directory,
                                                                     InodeId inode, Blocks blocks) {
  auto file = SPILLFS_TRY(make_private(id, directory, blocks));
  auto segment =
      PrivateSegment::start(device(directory), std::move(file), {.id = id, .directory = directory},
                            options_.preallocate_step);
  const auto identified = segment
                              ? (*segment)->identify({.store = store_, .inode = inode, .path = {}})
                              : Result<>(tl::unexpected(segment.error()));
  if (identified) return segment;
  static_cast<void>(device(directory).remove(segment_path(SegmentKind::kPrivate, id)));
  return tl::unexpected(identified.error());
}

Result<std::shared_ptr<File>> SegmentStore::make_private(SegmentId id, DirectoryId directory,
                                                         Blocks blocks) {
  Device& on = device(directory);
  const std::string path = segment_path(SegmentKind::kPrivate, id);
  if (blocks == Blocks::kMayRecycle) {
    const auto taken = pool_.take(on, directory, path);
    if (taken && *taken) return on.open(path);
    if (!taken) spdlog::warn("recycle a segment: {}", describe(taken.error()));
  }
  return on.create(path);
}

Result<std::unique_ptr<PrivateSegment>> SegmentStore::open_private(SegmentId id,
                                                                   DirectoryId directory,
                                                                   std::uint64_t length) {
  auto file = SPILLFS_TRY(open_existing(SegmentKind::kPrivate, id, directory));
  return PrivateSegment::resume(device(directory), std::move(file),
                                {.id = id, .directory = directory}, length);
}

Result<std::shared_ptr<FusedSegment>> SegmentStore::create_fused(SegmentId id,
                                                                 DirectoryId directory) {
  return FusedSegment::create(device(directory), store_, id, directory, options_.segment_size);
}

Result<std::shared_ptr<File>> SegmentStore::open_fused(SegmentId id, DirectoryId directory) {
  if (auto file = cached_fused(id, directory)) return file;
  auto file = SPILLFS_TRY(verified_fused(id, directory));
  cache_fused(id, directory, file);
  return file;
}

// A segment of the index that is not there is damage.
Result<std::shared_ptr<File>> SegmentStore::open_existing(SegmentKind kind, SegmentId id,
                                                          DirectoryId directory) {
  const std::string path = segment_path(kind, id);
  auto file = device(directory).open(path);
  if (file || file.error().code != ENOENT) return file;
  return fail(EIO, fmt::format("{}/{} is missing", device(directory).name(), path));
}

Result<std::shared_ptr<File>> SegmentStore::verified_fused(SegmentId id, DirectoryId directory) {
  auto file = SPILLFS_TRY(open_existing(SegmentKind::kFused, id, directory));
  std::vector<std::byte> superblock(kSuperblockSize);
  const std::size_t got = SPILLFS_TRY(file->read(superblock, 0));
  if (auto good = verify_superblock(Bytes(superblock).first(got), store_, id); !good) {
    return fail(EIO, fmt::format("{}/{}: {}", device(directory).name(),
                                 segment_path(SegmentKind::kFused, id), good.error().context));
  }
  return file;
}

std::shared_ptr<File> SegmentStore::cached_fused(SegmentId id, DirectoryId directory) {
  MutexLock lock(mutex_);
  const auto found = std::find_if(
      open_fused_.begin(), open_fused_.end(),
      [&](const OpenFused& open) { return open.id == id && open.directory == directory; });
  if (found == open_fused_.end()) return nullptr;
  open_fused_.splice(open_fused_.begin(), open_fused_, found);
  return found->file;
}

void SegmentStore::cache_fused(SegmentId id, DirectoryId directory, std::shared_ptr<File> file) {
  MutexLock lock(mutex_);
  open_fused_.push_front({.id = id, .directory = directory, .file = std::move(file)});
  if (open_fused_.size() > options_.open_fused_limit) open_fused_.pop_back();
}

void SegmentStore::forget_fused(SegmentId id) {
  MutexLock lock(mutex_);
  open_fused_.remove_if([&](const OpenFused& open) { return open.id == id; });
}

Result<> SegmentStore::trim_fused(SegmentId id, DirectoryId directory) {
  const auto file = SPILLFS_TRY(device(directory).open(segment_path(SegmentKind::kFused, id)));
  const FileStatus status = SPILLFS_TRY(file->status());
  return file->resize(status.size);
}

Result<> SegmentStore::remove(SegmentKind kind, SegmentId id, DirectoryId directory) {
  if (kind == SegmentKind::kFused) forget_fused(id);
  return or_gone(device(directory).remove(segment_path(kind, id)));
}

Result<> SegmentStore::recycle(SegmentId id, DirectoryId directory) {
  return or_gone(
      pool_.put(device(directory), directory, segment_path(SegmentKind::kPrivate, id), id));
}

Result<> SegmentStore::drop_pool() {
  Result<> first;
  for (const SegmentPool::Entry& entry : pool_.take_all()) {
    auto removed = or_gone(device(entry.directory).remove(SegmentPool::path_of(entry.id)));
    if (!removed && first) first = std::move(removed);
  }
  return first;
}

Result<std::vector<FoundSegment>> SegmentStore::list(DirectoryId directory) {
  std::vector<FoundSegment> found;
  for (const std::string& name : SPILLFS_TRY(device(directory).list(kSegmentFolder))) {
    if (auto segment = parse_name(name)) found.push_back(*segment);
  }
  return found;
}

Result<> SegmentStore::sync_directory(DirectoryId directory) {
  SPILLFS_TRY(device(directory).sync_folder(kSegmentFolder));
  return device(directory).sync_folder("recycle");
}

}  // namespace spillfs::storage
