// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/which_mount.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fs/cli/shared/streams.h"
#include "fs/fuse/fuse_mount.h"

namespace spillfs::fs {

Result<std::string> only_mount(const std::string& mountpoint) {
  if (!mountpoint.empty()) return mountpoint;
  auto mounts = all_mounts();
  if (mounts.size() == 1) return std::move(mounts.front());
  if (mounts.empty()) return fail(ENODEV, "no spillfs is mounted");
  return fail(ENODEV, fmt::format("which mount? There are {}", fmt::join(mounts, ", ")));
}

std::vector<std::string> each_mount(const std::string& mountpoint) {
  return mountpoint.empty() ? all_mounts() : std::vector{mountpoint};
}

void tell_if_dead(const std::string& mountpoint, std::ostream& err) {
  if (is_mounted(mountpoint)) complain(err, fmt::format("the daemon of {} is gone", mountpoint));
}

}  // namespace spillfs::fs
