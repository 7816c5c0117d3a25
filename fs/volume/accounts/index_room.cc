// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/index_room.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kAge = 100;              // milliseconds
constexpr std::uint64_t kPlenty = 1024 * kMiB;   // more than names and xattrs take in that time
constexpr std::uint64_t kFloorOfReserve = 4;     // a quarter
constexpr std::uint64_t kFloorOfFileSystem = 8;  // an eighth

std::uint64_t steady_milliseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(now / std::chrono::milliseconds(1));
}

}  // namespace

IndexRoom::IndexRoom(std::string path, std::uint64_t reserve)
    : path_(std::move(path)), reserve_(reserve) {}

Result<> IndexRoom::check() {
  MutexLock lock(mutex_);
  if (steady_milliseconds() < plenty_until_ || measure()) return {};
  return fail(ENOSPC,
              "the index's file system is nearly full; delete something, or make room in " + path_);
}

bool IndexRoom::measure() {
  struct statvfs found {};
  if (::statvfs(path_.c_str(), &found) != 0) return true;
  const std::uint64_t free = found.f_bavail * found.f_frsize;
  const std::uint64_t total = found.f_blocks * found.f_frsize;
  const std::uint64_t floor = std::min(reserve_ / kFloorOfReserve, total / kFloorOfFileSystem);
  if (free > floor + kPlenty) plenty_until_ = steady_milliseconds() + kAge;
  return free >= floor;
}

}  // namespace spillfs::fs
