// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/cli/shared/which_mount.h"
#include "fs/config/age.h"
#include "fs/control/report_lines.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/reap/reap_service.h"
#include "fs/system/namespaces.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

std::string line_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// The kernel still has a name that the daemon has removed, and with it the space: it asks once
// more, and forgets it. What lies there by now is only looked at.
void look_again(const Fd& root, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const Fd directory(
      static_cast<int>(::syscall(SYS_openat2, root.get(), parent.c_str(), &how, sizeof(how))));
  struct statx found {};
  if (!directory) return;
  static_cast<void>(
      ::statx(directory.get(), path.c_str() + (slash == std::string::npos ? 0 : slash + 1),
              AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT, 0, &found));
}

std::string raw_path(const nlohmann::json& orphan) {
  const auto raw = orphan.value("raw", std::vector<std::uint8_t>());
  return {raw.begin(), raw.end()};
}

// What one mount, or all of them, had.
class Reaping {
 public:
  Reaping(const ReapCommand& command, ReapRequest request, Streams streams)
      : command_(command), request_(request), streams_(streams) {}

  ExitCode reap(const std::string& mountpoint) {
    failed_ = false;
    const auto mount = trusted_mount(mountpoint);
    if (!mount && mount.error().code == EPERM) {
      if (!command_.mountpoint.empty()) return report(mount.error(), kExitMountpoint, streams_);
      streams_.err << fmt::format("spillfs: {}\n", mount.error().context);
      return kExitSuccess;
    }
    const Fd root(mount ? ::openat(mount->root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
    Fd desk(root ? ::openat(root.get(), ".spillfs/reap", O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1);
    if (!desk) return not_open(root, mountpoint, errno);
    const std::string request = to_text(request_);
    if (::write(desk.get(), request.data(), request.size()) < 0) {
      trouble(mountpoint, errno == EBUSY ? "too many wait for the daemon already; try again later"
                                         : "the daemon does not take the request");
      return failed_ ? kExitSystem : kExitSuccess;
    }
    ReportLines lines(std::move(desk), [&] { return is_mounted(mountpoint); });
    while (take_line(lines.next(), root, mountpoint)) {
    }
    return failed_ ? kExitSystem : kExitSuccess;
  }

  void tell_sum() {
    if (command_.json) return;
    streams_.out << fmt::format("{} {}, {} bytes\n", count_,
                                command_.dry_run ? "would be removed" : "removed", bytes_);
  }

 private:
  static const char* why_not_open(int code) {
    if (code == ENOENT) return "its daemon is of an earlier version: 'spillfs upgrade' first";
    if (code == EROFS) return "it is mounted read-only, so that nothing can be removed there";
    return "only root and the owner of its daemon may reap there";
  }

  ExitCode not_open(const Fd& root, const std::string& mountpoint, int code) {
    const bool all = command_.mountpoint.empty();
    const bool lives = root && ::faccessat(root.get(), ".spillfs/status", R_OK, 0) == 0;
    if (!lives && all) {
      tell_if_dead(mountpoint, streams_.err);
      return kExitSuccess;  // others' end is no failure of this
    }
    if (!lives) {
      return report({.code = code,
                     .context = fmt::format("no live spillfs is mounted on {}", mountpoint),
                     .where = {}},
                    kExitMountpoint, streams_);
    }
    trouble(mountpoint, why_not_open(code));
    return failed_ ? kExitSystem : kExitSuccess;
  }

  // False: it was the last one.
  bool take_line(const Result<std::string>& line, const Fd& root, const std::string& mountpoint) {
    if (!line) {
      trouble(mountpoint, line.error().context);
      return false;
    }
    const auto json = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      trouble(mountpoint, "the daemon says what this spillfs does not know");
      return false;
    }
    if (json.contains("path")) removed(json, root, mountpoint);
    for (const char* key : {"trouble", "error"}) {
      if (json.contains(key)) trouble(mountpoint, json.value(key, ""));
    }
    return !json.contains("done");
  }

  void trouble(const std::string& mountpoint, const std::string& what) {
    if (command_.mountpoint.empty() && !is_mounted(mountpoint)) return;  // it has ended meanwhile
    failed_ = true;
    complain(streams_.err, fmt::format("{}: {}", escaped(mountpoint), escaped(what)));
  }

  void removed(const nlohmann::json& orphan, const Fd& root, const std::string& mountpoint) {
    const std::string inside = orphan.value("path", "");
    const auto bytes = orphan.value("bytes", std::uint64_t{0});
    const std::string why = orphan.value("why", "");
    if (!command_.dry_run) look_again(root, raw_path(orphan));
    ++count_;
    bytes_ += bytes;
    const std::string path = fmt::format("{}/{}", mountpoint, inside);
    if (command_.json) {
      streams_.out << line_of(
          {{"path", path}, {"bytes", bytes}, {"why", why}, {"removed", !command_.dry_run}});
    } else {
      streams_.out << fmt::format("{}  {} bytes  {}\n",
                                  escaped(fmt::format("{}/{}", mountpoint, raw_path(orphan))),
                                  bytes, escaped(why));
    }
  }

  const ReapCommand& command_;
  const ReapRequest request_;
  const Streams streams_;
  std::uint64_t count_ = 0, bytes_ = 0;
  bool failed_ = false;
};

}  // namespace

ExitCode run_reap(const ReapCommand& command, Streams streams) {
  const auto older_than = parse_age(command.older_than);
  if (!older_than) return report(older_than.error(), kExitUsage, streams);
  Reaping reaping(
      command,
      {.dry_run = command.dry_run, .older_than = older_than->count(), .view = own_namespaces()},
      streams);
  ExitCode code = kExitSuccess;
  for (const std::string& mountpoint : each_mount(command.mountpoint)) {
    const ExitCode done = reaping.reap(mountpoint);
    if (done != kExitSuccess) code = done;
  }
  if (code != kExitMountpoint) reaping.tell_sum();
  return code;
}

}  // namespace spillfs::fs
