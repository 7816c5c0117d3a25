// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/config/mount_request.h"
#include "fs/config/option_doubts.h"
#include "fs/config/options.h"
#include "fs/daemon/service_manager.h"
#include "fs/daemon/supervisor.h"
#include "fs/fuse/mountpoint.h"
#include "fs/store/store_lock.h"
#include "fs/system/log.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

ExitCode store_exit_code(const Error& error) {
  switch (error.code) {
    case EBUSY:
      return kExitStoreInUse;
    case EACCES:
    case EIO:
    case ENOSPC:
    case EROFS:
      return kExitSystem;
    default:
      return kExitStore;
  }
}

struct Asked {
  MountRequest request;
  MountOptions options;
};

Result<Asked> asked_for(const MountCommand& command) {
  Asked asked{.request = SPILLFS_TRY(gather(command)), .options = {}};
  if (asked.request.store.empty() || asked.request.mountpoint.empty()) {
    return fail(EINVAL, "give a store and a mountpoint, here or in a --config file");
  }
  asked.options = SPILLFS_TRY(parse_options(asked.request.options));
  return asked;
}

// With the mount that a daemon before this one has left, if there is one. The log goes to standard
// error until it is known; nothing of it is a reason to lose the mount.
std::optional<ExitCode> go_on(const Result<Asked>& asked, Streams streams) {
  static_cast<void>(set_up_log({.level = asked ? asked->options.log_level : "info"}));
  const auto kept = take_kept(asked ? &asked->request : nullptr);
  if (!kept) return std::nullopt;
  if (auto log = set_up_log({.level = kept->options.log_level,
                             .where = kept->options.log,
                             .mountpoint = kept->what.mountpoint,
                             .store = kept->what.store});
      !log) {
    spdlog::warn("{}", describe(log.error()));
  }
  if (!asked) spdlog::error("{}; the mount goes on as it was", describe(asked.error()));
  const auto ended = supervise_on(kept->what, kept->options);
  return ended ? *ended : report(ended.error(), kExitSystem, streams);
}

// Where a mount may be made; once a daemon of the same store that ends has left it.
Result<std::string> free_mountpoint(const MountRequest& request, const MountOptions& options) {
  std::vector<std::string> directories = options.data;
  directories.push_back(request.store);
  auto mountpoint = check_mountpoint(request.mountpoint, directories);
  if (mountpoint || mountpoint.error().code != EBUSY) return mountpoint;
  const auto store =
      TrustedDirectory::open(request.store, Trust::of_process(options.foreign_store));
  if (!store || !lock_store_for_reading(*store)) return mountpoint;
  return check_mountpoint(request.mountpoint, directories);
}

// Everything but the mount itself: what can be wrong is found before a process is left behind.
ExitCode mount_and_stay(const MountCommand& command, const MountRequest& request,
                        const MountOptions& options, Streams streams,
                        const std::function<void()>& ready) {
  if (auto log = set_up_log({.level = options.log_level}); !log) {
    return report(log.error(), kExitSystem, streams);
  }
  auto mountpoint = free_mountpoint(request, options);
  if (!mountpoint) return report(mountpoint.error(), kExitMountpoint, streams);
  auto store = options.read_only
                   ? Store::open_read_only(request.store, options.data, options.foreign_store)
                   : Store::open_or_create(request.store, options.data, options.foreign_store);
  if (!store) return report(store.error(), store_exit_code(store.error()), streams);
  const bool no_file = command.foreground || options.read_only;
  auto log =
      set_up_log({.level = options.log_level,
                  .where = no_file && !command.foreground ? where_without_file() : options.log,
                  .folder = no_file ? nullptr : &store->folder(),
                  .mountpoint = *mountpoint,
                  .store = store->path()});
  if (!log) return report(log.error(), store_exit_code(log.error()), streams);
  log_doubts(request.options);
  auto ended = supervise({.store = *std::move(store),
                          .mountpoint = *mountpoint,
                          .options = options,
                          .given = request.options,
                          .config_file = request.config_file,
                          .kernel_flags = request.kernel_flags,
                          .background = !command.foreground},
                         ready);
  if (!ended) {
    return report(ended.error(), ended.error().code == EBADMSG ? kExitStore : kExitSystem, streams);
  }
  return *ended;
}

// The parent waits for one byte: the mount is ready; or for the child's exit code.
ExitCode mount_in_background(const MountCommand& command, const MountRequest& request,
                             const MountOptions& options, Streams streams) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return report(fail_errno(errno, "make a pipe").value(), kExitSystem, streams);
  }
  Fd from_child(ends[0]);
  Fd to_parent(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return report(fail_errno(errno, "fork").value(), kExitSystem, streams);
  if (child == 0) {
    from_child.reset();
    ::setsid();
    const ExitCode code = mount_and_stay(command, request, options, streams, [&to_parent] {
      if (::write(to_parent.get(), "+", 1) == 1) to_parent.reset();
    });
    ::_exit(code);
  }
  to_parent.reset();
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(from_child.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return kExitSuccess;
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? static_cast<ExitCode>(WEXITSTATUS(status)) : kExitSystem;
}

}  // namespace

std::string mount_help() {
  std::string text = "Options (-o name=value,…):\n";
  for (const OptionSpec& spec : option_table()) {
    text += fmt::format("  {:<27} {} [{}]\n", usage_of(spec), describe(spec), spec.fallback);
  }
  return text;
}

ExitCode run_mount(const MountCommand& command, Streams streams) {
  ::umask(kOwnerOnly);
  const bool may_go_on = command.foreground && has_kept();
  if (may_go_on) hold_signals();  // who ends this process now would leave a dead mount
  const auto asked = asked_for(command);
  if (may_go_on) {
    if (const auto code = go_on(asked, streams)) return *code;
  }
  if (!asked) return report(asked.error(), kExitUsage, streams);
  const auto& [request, options] = *asked;
  if (!command.foreground) {
    for (const std::string& doubt : doubts_about(request.options)) complain(streams.err, doubt);
    return mount_in_background(command, request, options, streams);
  }
  return mount_and_stay(command, request, options, streams, [] { spdlog::info("ready"); });
}

}  // namespace spillfs::fs
