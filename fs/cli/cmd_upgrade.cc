// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/cli/shared/mount_daemon.h"
#include "fs/daemon/supervisor.h"
#include "fs/daemon/worker.h"
#include "fs/system/log.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kUpgradePatience{60};
constexpr std::chrono::milliseconds kPause{20};

ExitCode serve(const HandOver& what, const MountOptions& options, Streams streams) {
  const auto store =
      Store::adopt(what.store, Fd(what.lock), options.foreign_store, access_of(options));
  if (!store) return report(store.error(), kExitStore, streams);
  const Fd counts_memory(what.counts);
  const auto counts = map_counts(counts_memory);
  if (!counts) return report(counts.error(), kExitSystem, streams);
  if (auto closed = set_across_exec(what, Across::kClose); !closed) {
    return report(closed.error(), kExitSystem, streams);
  }
  be_worker({.fuse = Fd(what.fuse),
             .init = what.init,
             .staging = Fd(what.staging),
             .open_files = Fd(what.open_files),
             .start = Volume::Start::kRestart,
             .counts = *counts,
             .store = &*store,
             .options = options,
             .mountpoint = what.mountpoint,
             .boot = what.boot.id.empty() ? this_boot() : what.boot,
             .supervisor = what.supervisor},
            Fd(what.ready));
}

Result<> set_up_log_of(const HandOver& what, const MountOptions& options) {
  LogTarget target{.level = options.log_level,
                   .where = options.log,
                   .mountpoint = what.mountpoint,
                   .store = what.store};
  if (what.background && options.read_only) target.where = where_without_file();
  if (!what.background || options.read_only) return set_up_log(target);
  const auto folder =
      SPILLFS_TRY(TrustedDirectory::open(what.store, Trust::of_process(options.foreign_store)));
  target.folder = &folder;
  return set_up_log(target);
}

ExitCode failed(std::string text, ExitCode code, Streams streams) {
  return report({.code = EIO, .context = std::move(text), .where = {}}, code, streams);
}

}  // namespace

ExitCode run_upgrade(const UpgradeCommand& command, Streams streams) {
  auto mount = PinnedMount::at(command.mountpoint);
  const auto before = mount ? read_status(*mount) : nlohmann::json();
  if (!before.is_object()) {
    return failed(fmt::format("no live spillfs is mounted on {}", command.mountpoint),
                  kExitMountpoint, streams);
  }
  const auto supervisor = supervisor_of(*mount, before);
  if (!supervisor) return report(supervisor.error(), kExitSystem, streams);
  if (!send_signal(*supervisor, SIGHUP)) {
    return failed("the daemon belongs to someone else; upgrade as root or as its user", kExitSystem,
                  streams);
  }
  const auto changed = [&before](const nlohmann::json& now, const char* what) {
    return now.is_object() &&
           now.value(what, nlohmann::json()) != before.value(what, nlohmann::json());
  };
  const auto end = std::chrono::steady_clock::now() + kUpgradePatience;
  while (std::chrono::steady_clock::now() < end) {
    const auto now = read_status(*mount);
    if (changed(now, "upgrades")) {
      streams.out << fmt::format("{} goes on with spillfs {}\n", escaped(command.mountpoint),
                                 one_line(now.value("version", "?")));
      return kExitSuccess;
    }
    if (changed(now, "failed_upgrades")) {
      return failed(fmt::format("the installed program could not go on with {}; the old one does. "
                                "Its log says why",
                                command.mountpoint),
                    kExitSystem, streams);
    }
    std::this_thread::sleep_for(kPause);
  }
  return failed(
      fmt::format("nothing came of it within {} s; see the log", kUpgradePatience.count()),
      kExitSystem, streams);
}

ExitCode run_take_over(const TakeOverCommand& command, Streams streams) {
  const auto what = read_hand_over(command.hand_over);
  if (!what) return report(what.error(), kExitSystem, streams);
  const auto options = parse_options(what->options);
  if (!options) return report(options.error(), kExitUsage, streams);
  if (auto known = Store::check_format(what->store, options->foreign_store); !known) {
    return report(known.error(), kExitStore, streams);
  }
  if (command.probe) return kExitSuccess;
  Fd(command.hand_over).reset();
  if (auto log = set_up_log_of(*what, *options); !log) {
    return report(log.error(), kExitSystem, streams);
  }
  if (command.worker) return serve(*what, *options, streams);
  auto ended = supervise_on(*what, *options);
  return ended ? *ended : report(ended.error(), kExitSystem, streams);
}

}  // namespace spillfs::fs
