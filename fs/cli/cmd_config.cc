// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/shared/live_mount.h"
#include "fs/config/config_file.h"
#include "fs/config/config_text.h"
#include "fs/config/mount_request.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

Result<std::string> of_a_live_mount(const std::string& mountpoint) {
  std::string text = read_control_text(mountpoint, "config");
  if (!text.empty()) return text;
  return fail(ENOENT, fmt::format("no live spillfs is mounted on {}", mountpoint));
}

Result<std::string> of_a_request(const ConfigCommand& command) {
  const MountRequest request =
      SPILLFS_TRY(gather({.config = command.config, .options = command.options}));
  const MountOptions options = SPILLFS_TRY(parse_options(request.options));
  return config_text(options, {.store = request.store,
                               .store_origin = request.store_origin,
                               .mountpoint = request.mountpoint,
                               .mountpoint_origin = request.mountpoint_origin});
}

}  // namespace

ExitCode run_config(const ConfigCommand& command, Streams streams) {
  const bool live = !command.mountpoint.empty();
  const auto text = live ? of_a_live_mount(command.mountpoint) : of_a_request(command);
  if (!text) return report(text.error(), live ? kExitMountpoint : kExitUsage, streams);
  if (!command.json) {
    streams.out << clean_lines(*text);
    return kExitSuccess;
  }
  const auto json = config_as_json(*text);
  if (!json) return report(json.error(), kExitSystem, streams);
  streams.out << *json;
  return kExitSuccess;
}

}  // namespace spillfs::fs
