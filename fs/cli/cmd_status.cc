// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/cli/shared/which_mount.h"
#include "fs/cli/views/status_report.h"
#include "fs/system/guarded.h"

namespace spillfs::fs {
namespace {

// False where it is of types that a status does not have: its daemon may say anything.
bool print(const nlohmann::json& status, std::string_view before, Streams streams) {
  const auto make = [&] { return Result<std::string>(status_report(status)); };
  const auto text = guarded(make);
  if (text) streams.out << before << *text;
  return text.has_value();
}

std::string dumped(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

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
    if (!command.json && !print(status, all.empty() ? "" : "\n", streams)) {
      const Error error{.code = EPROTO,
                        .context = fmt::format("{} says what no spillfs says", mountpoint),
                        .where = {}};
      if (!command.mountpoint.empty()) return report(error, kExitSystem, streams);
      static_cast<void>(report(error, kExitSystem, streams));
      continue;
    }
    all.push_back(std::move(status));
  }
  if (command.json) streams.out << dumped(command.mountpoint.empty() ? all : all.front());
  if (!command.json && all.empty()) streams.out << "no spillfs is mounted\n";
  return kExitSuccess;
}

}  // namespace spillfs::fs
