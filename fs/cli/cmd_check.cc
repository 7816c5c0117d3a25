// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <ostream>

#include "fs/cli/commands.h"
#include "fs/repair/check.h"
#include "fs/store/open_store.h"
#include "fs/store/store.h"

namespace spillfs::fs {
namespace {

ExitCode tell(const CheckReport& report, Streams streams) {
  streams.out << fmt::format(
      "{} inodes, {} names, {} segments, {} records, {} bytes compared: {}\n", report.inodes,
      report.names, report.segments, report.records, report.bytes,
      report.problems == 0 ? "no problems" : fmt::format("{} problems", report.problems));
  if (report.doubtful != 0) {
    streams.out << fmt::format("{} files may have gone with the power: a mount will find out\n",
                               report.doubtful);
  }
  return report.problems == 0 ? kExitSuccess : kExitProblemsFound;
}

}  // namespace

ExitCode run_check(const CheckCommand& command, Streams streams) {
  ::umask(kOwnerOnly);
  spdlog::set_level(spdlog::level::off);  // what is wrong is told below
  MountOptions options;
  const auto chosen = parse_options(option_text("boot", command.boot), options);
  if (!chosen) return report(chosen.error(), kExitUsage, streams);
  auto store = Store::open(command.store, command.foreign);
  if (!store) {
    return report(store.error(), store.error().code == EBUSY ? kExitStoreInUse : kExitStore,
                  streams);
  }
  if (command.rebuild) return run_rebuild(*store, command, streams);
  const BootView boot = boot_view(this_boot(), options.boot, store->index_path());
  const auto parts = open_parts(*store, {}, nullptr);
  if (!parts) return report(parts.error(), kExitProblemsFound, streams);
  ProgressBar progress(command.progress ? &streams.err : nullptr);
  const auto tell_problem = [&](const std::string& text) {
    progress.clear();
    complain(streams.err, text);
  };
  const auto tell_progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.update(done, total);
  };
  const auto checked =
      check_store(*parts->index, *parts->segments, boot, tell_problem, tell_progress);
  progress.clear();
  if (!checked) return report(checked.error(), kExitProblemsFound, streams);
  return tell(*checked, streams);
}

}  // namespace spillfs::fs
