// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/commands.h"
#include "fs/live_mount.h"
#include "fs/status_report.h"
#include "fs/which_mount.h"

namespace spillfs::fs {

ExitCode run_status(const StatusCommand& command, Streams streams) {
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& mountpoint : each_mount(command.mountpoint)) {
    auto status = read_status(mountpoint);
    if (!status.is_object() && command.mountpoint.empty()) {
      tell_if_dead(mountpoint, streams.err);
      continue;
    }
    if (!status.is_object()) {
      return report({.code = EINVAL,
                     .context = fmt::format("no live spillfs is mounted on {}", mountpoint),
                     .where = {}},
                    kExitMountpoint, streams);
    }
    if (!command.json) streams.out << (all.empty() ? "" : "\n") << status_report(status);
    all.push_back(std::move(status));
  }
  if (command.json) {
    streams.out << (command.mountpoint.empty() ? all : all.front())
                       .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                << '\n';
  }
  if (!command.json && all.empty()) streams.out << "no spillfs is mounted\n";
  return kExitSuccess;
}

}  // namespace spillfs::fs
