// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "fs/commands.h"
#include "fs/fuse_mount.h"
#include "fs/live_mount.h"
#include "fs/mount_request.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr int kPatience = 60'000;  // milliseconds for the daemon to seal what is open

// The process to wait for; empty when it can't be found out.
Fd supervisor_of(const std::string& mountpoint) {
  const auto json = read_status(mountpoint);
  if (!json.is_object()) return {};
  const auto pid = json.value("supervisor_pid", 0);
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

// As the mount table has it.
Result<std::string> mountpoint_of(const std::string& text) {
  std::string named = text;
  if (is_config_file(text)) named = SPILLFS_TRY(gather({.config = text})).mountpoint;
  if (named.empty()) return fail(EINVAL, text + " names no mountpoint");
  std::string path = std::filesystem::absolute(named).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  std::error_code error;
  if (!is_mounted(path)) {  // it may be reached through a symlink
    const auto real = std::filesystem::canonical(path, error);
    if (!error) path = real.string();
  }
  return path;
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
  if (!is_mounted(path)) {
    return report(
        {.code = EINVAL, .context = fmt::format("no spillfs is mounted on {}", path), .where = {}},
        kExitMountpoint, streams);
  }
  const Fd supervisor = command.lazy ? Fd() : supervisor_of(path);
  if (auto done = unmount_fuse(path); !done) return report(done.error(), kExitSystem, streams);
  if (!supervisor) return kExitSuccess;
  pollfd ended{.fd = supervisor.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, kPatience) == 1) return kExitSuccess;
  return report({.code = ETIMEDOUT,
                 .context = fmt::format("{} is unmounted, but files in it are still open and its "
                                        "daemon goes on until they are closed",
                                        path),
                 .where = {}},
                kExitSystem, streams);
}

}  // namespace spillfs::fs
