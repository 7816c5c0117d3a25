// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>

#include <nlohmann/json.hpp>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/cli/shared/mount_daemon.h"
#include "fs/config/mount_request.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/system/mount_users.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr int kSealPatience = 60'000;  // milliseconds for the daemon to seal what is open

// Waits until what was open is sealed; false when that takes too long.
bool await_end(const Fd& supervisor) {
  pollfd ended{.fd = supervisor.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, kSealPatience) == 1;
}

Result<std::string> mountpoint_of(const std::string& text) {
  if (!is_config_file(text)) return text;
  std::string named = SPILLFS_TRY(gather({.config = text})).mountpoint;
  if (named.empty()) return fail(EINVAL, text + " names no mountpoint");
  return named;
}

// What keeps a mount from being unmounted, in a sentence.
Failure busy(const MountEntry& mount) {
  const std::string is_busy = fmt::format("{} is busy", mount.where);
  const std::string way_out = fmt::format("'spillfs umount --lazy {}' detaches it", mount.where);
  for (const MountEntry& other : mount_table()) {
    if (!other.where.starts_with(mount.where + "/")) continue;
    return fail(EBUSY, fmt::format("{}: another mount lies in it, on {}; unmount that first, or {}",
                                   is_busy, other.where, way_out));
  }
  const std::string users = list_of(users_of_device(mount.device));
  return fail(EBUSY, fmt::format("{}: {} {} it; end what does, or {}", is_busy,
                                 users.empty() ? "something that can't be seen from here" : users,
                                 users.find(',') == std::string::npos ? "uses" : "use", way_out));
}

// A mount without a daemon has nothing that its users could still do. A stranger's is not asked.
Result<> take_out(PinnedMount mount, const UmountCommand& command) {
  if (command.lazy || (!mount.is_strangers() && mount.is_dead())) return mount.unmount();
  const MountEntry entry = mount.entry();
  auto done = PinnedMount::unmount_unless_busy(std::move(mount));
  return done || done.error().code != EBUSY ? done : busy(entry);
}

}  // namespace

ExitCode run_umount(const UmountCommand& command, Streams streams) {
  const auto mountpoint = mountpoint_of(command.mountpoint);
  if (!mountpoint) return report(mountpoint.error(), kExitUsage, streams);
  const std::string& path = *mountpoint;
  if (command.if_dead) {
    const auto cleared = clear_dead_mount(path);
    return cleared ? kExitSuccess : report(cleared.error(), kExitSystem, streams);
  }
  auto mount = PinnedMount::at(path);
  if (!mount) return report(mount.error(), kExitMountpoint, streams);
  const std::string where = mount->path();
  Result<Fd> supervisor = fail(ESRCH);
  if (!command.lazy) supervisor = supervisor_of(*mount, read_status(*mount));
  if (auto done = take_out(*std::move(mount), command); !done) {
    return report(done.error(), kExitSystem, streams);
  }
  if (!supervisor || await_end(*supervisor)) return kExitSuccess;
  return report({.code = ETIMEDOUT,
                 .context = fmt::format("{} is unmounted, but files in it are still open and its "
                                        "daemon goes on until they are closed",
                                        where),
                 .where = {}},
                kExitSystem, streams);
}

}  // namespace spillfs::fs
