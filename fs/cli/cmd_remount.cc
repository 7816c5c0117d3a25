// SPDX-License-Identifier: Apache-2.0
// mount -o remount: mount(8) calls the helper with what the mount table, or fstab, and the command
// line say together.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mount.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fs/cli/helpers.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/config/config_file.h"
#include "fs/config/options.h"

namespace spillfs::fs {
namespace {

using storage::Access;

unsigned long flags_of(const HelperOptions& options) {
  const auto has = [&](std::string_view name) {
    return std::find(options.kernel.begin(), options.kernel.end(), name) != options.kernel.end();
  };
  unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NODEV;
  if (options.remount == Access::kReadOnly) flags |= MS_RDONLY;
  if (has("noexec")) flags |= MS_NOEXEC;
  if (has("noatime")) flags |= MS_NOATIME;
  return flags;
}

// EINVAL where an option asks for something else than what the daemon has: it takes none over so.
Result<> check_options(const PinnedMount& mount, const std::vector<std::string>& own) {
  const std::string text = SPILLFS_TRY(read_control_text(mount, "config"));
  const ConfigFile file = SPILLFS_TRY(parse_config(text, mount.path() + "/.spillfs/config"));
  const MountOptions now = SPILLFS_TRY(parse_options(file.options));
  MountOptions wanted = now;
  for (const std::string& option : own) SPILLFS_TRY(parse_options(option, wanted));
  for (const OptionSpec& spec : option_table()) {
    if (!spec.show || spec.show(now) == spec.show(wanted)) continue;
    return fail(EINVAL,
                fmt::format("option '{}' can't change by a remount; change the configuration file, "
                            "then 'spillfs upgrade {}'",
                            spec.name, mount.path()));
  }
  return {};
}

// What was closed is to be on disk: a mount that is read-only takes no 'spillfs sync'.
bool synced(const PinnedMount& mount, Streams streams) {
  return mount.is_strangers() || run_sync({.mountpoint = mount.path()}, streams) == kExitSuccess;
}

Result<> change(const PinnedMount& mount, const HelperOptions& options) {
  const std::string root = fmt::format("/proc/self/fd/{}", mount.root());
  if (::mount(nullptr, root.c_str(), nullptr, flags_of(options), nullptr) == 0) return {};
  if (errno == EBUSY) {
    return fail(EBUSY, fmt::format("{} is busy: files in it are open for writing; close them first "
                                   "('fuser -vm {}' shows whose they are)",
                                   mount.path(), mount.path()));
  }
  return fail_errno(errno, "remount " + mount.path());
}

}  // namespace

MountHelperCode remount(const std::string& mountpoint, const HelperOptions& options,
                        Streams streams) {
  const auto failed = [&](const Error& error, MountHelperCode code) {
    report(error, kExitSystem, streams);
    return code;
  };
  const auto mount = PinnedMount::at(mountpoint);
  if (!mount) return failed(mount.error(), kMountFailed);
  const auto status = read_status(*mount);
  if (!status.is_object()) {
    return failed(
        fail(ENOTCONN, fmt::format("no live spillfs is mounted on {}", mount->path())).value(),
        kMountFailed);
  }
  if (const auto good = check_options(*mount, options.own); !good) {
    return failed(good.error(), good.error().code == EINVAL ? kMountUsage : kMountFailed);
  }
  const bool read_only = options.remount == Access::kReadOnly;
  if (!read_only && status.value("read_only", false)) {
    return failed(
        fail(EROFS, fmt::format("{} was mounted with -o ro, and its daemon changes nothing "
                                "in the store; unmount it, then mount it without ro",
                                mount->path()))
            .value(),
        kMountFailed);
  }
  if (read_only && !synced(*mount, streams)) return kMountFailed;
  if (const auto done = change(*mount, options); !done) return failed(done.error(), kMountFailed);
  return kMountDone;
}

}  // namespace spillfs::fs
