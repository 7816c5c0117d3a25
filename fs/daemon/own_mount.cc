// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/own_mount.h"

#include <fmt/format.h>
#include <poll.h>

#include "fs/system/descriptor_info.h"

namespace spillfs::fs {
namespace {

// Where the kernel tells, a connection's number is the minor one of its file system.
bool speaks_for(int fuse, const MountEntry& entry) {
  const auto connection = descriptor_number(fuse, "fuse_connection");
  return !connection || entry.device == fmt::format("0:{}", *connection);
}

}  // namespace

OwnMount OwnMount::find(int fuse, const std::string& mountpoint) {
  const auto pinned = PinnedMount::at(mountpoint);
  if (!pinned || !is_connected(fuse) || !speaks_for(fuse, pinned->entry())) return {};
  return OwnMount(
      {.id = pinned->entry().id, .device = pinned->entry().device, .unique = pinned->unique_id()});
}

Result<PinnedMount> OwnMount::pin() const {
  for (const MountEntry& entry : mount_table()) {
    if (entry.id != numbers_.id || entry.device != numbers_.device || entry.type != kSpillfsType) {
      continue;
    }
    auto pinned = PinnedMount::at(entry.where);
    if (!pinned || pinned->entry().id != numbers_.id || pinned->entry().device != entry.device) {
      return fail(EBUSY, fmt::format("the mount on {} stays: another lies on it", entry.where));
    }
    if (numbers_.unique != 0 && pinned->unique_id() != numbers_.unique) break;
    return pinned;
  }
  return fail(ENOENT, "the mount is gone");
}

Result<> OwnMount::unmount(int fuse) const {
  const auto pinned = pin();
  if (!pinned)
    return pinned.error().code == ENOENT ? Result<>() : Result<>(tl::unexpected(pinned.error()));
  // Its numbers may be another's where they are not unique and it has ended.
  if (numbers_.unique == 0 && !is_connected(fuse) && !pinned->is_dead()) return {};
  return pinned->unmount();
}

Result<> OwnMount::end(Fd& fuse) const {
  const auto pinned = pin();
  fuse.reset();
  if (!pinned)
    return pinned.error().code == ENOENT ? Result<>() : Result<>(tl::unexpected(pinned.error()));
  return pinned->is_dead() ? pinned->unmount() : Result<>();
}

bool is_connected(int fuse) {
  pollfd connection{.fd = fuse, .events = 0, .revents = 0};
  return ::poll(&connection, 1, 0) == 0;
}

}  // namespace spillfs::fs
