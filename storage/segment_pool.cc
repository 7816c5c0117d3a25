// SPDX-License-Identifier: Apache-2.0
#include "storage/segment_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace spillfs::storage {
namespace {

constexpr const char* kRecycleFolder = "recycle";

}  // namespace

std::string SegmentPool::path_of(SegmentId id) {
  return fmt::format("{}/{}.private", kRecycleFolder, number(id));
}

Result<> SegmentPool::clear(Device& device) {
  for (const std::string& name : SPILLFS_TRY(device.list(kRecycleFolder))) {
    SPILLFS_TRY(device.remove(fmt::format("{}/{}", kRecycleFolder, name)));
  }
  return {};
}

bool SegmentPool::reserve(std::uint64_t allocated) {
  MutexLock lock(mutex_);
  if (allocated == 0 || bytes_ + allocated > limit_) return false;
  bytes_ += allocated;
  return true;
}

void SegmentPool::unreserve(std::uint64_t allocated) {
  MutexLock lock(mutex_);
  bytes_ -= allocated;
}

Result<> SegmentPool::put(Device& device, DirectoryId directory, const std::string& path,
                          SegmentId id) {
  auto file = SPILLFS_TRY(device.open(path));
  const std::uint64_t allocated = SPILLFS_TRY(file->status()).allocated;
  file.reset();
  if (!reserve(allocated)) return device.remove(path);
  if (auto moved = device.rename(path, path_of(id)); !moved) {
    unreserve(allocated);
    return moved;
  }
  MutexLock lock(mutex_);
  entries_.push_back({.directory = directory, .id = id, .allocated = allocated});
  return {};
}

Result<bool> SegmentPool::take(Device& device, DirectoryId directory, const std::string& path) {
  Entry entry;
  {
    MutexLock lock(mutex_);
    const auto found = std::find_if(entries_.rbegin(), entries_.rend(),
                                    [&](const Entry& e) { return e.directory == directory; });
    if (found == entries_.rend()) return false;
    entry = *found;
    entries_.erase(std::next(found).base());
  }
  unreserve(entry.allocated);
  SPILLFS_TRY(device.rename(path_of(entry.id), path));
  return true;
}

std::vector<SegmentPool::Entry> SegmentPool::take_all() {
  MutexLock lock(mutex_);
  bytes_ = 0;
  return std::exchange(entries_, {});
}

std::uint64_t SegmentPool::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace spillfs::storage
