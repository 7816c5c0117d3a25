// SPDX-License-Identifier: Apache-2.0
#include "fs/only_mount.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fs/fuse_mount.h"

namespace spillfs::fs {

Result<std::string> only_mount(const std::string& mountpoint) {
  if (!mountpoint.empty()) return mountpoint;
  auto mounts = all_mounts();
  if (mounts.size() == 1) return std::move(mounts.front());
  if (mounts.empty()) return fail(ENODEV, "no spillfs is mounted");
  return fail(ENODEV, fmt::format("which mount? There are {}", fmt::join(mounts, ", ")));
}

}  // namespace spillfs::fs
