// SPDX-License-Identifier: Apache-2.0
// What is mounted where, as this process sees it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

inline constexpr std::string_view kSpillfsType = "fuse.spillfs";

struct MountEntry {
  std::string device;  // "0:51"
  std::string where;
  std::string options;  // of the mount and of its file system: "rw,relatime,rw,discard"
  std::string type;     // "ext4"
};

// In the order they were made: of two on one directory the last is on top.
std::vector<MountEntry> mount_table();

// The one that `path`, absolute and without links, lies on; also where nothing is there.
std::optional<MountEntry> mount_of(const std::string& path);

}  // namespace spillfs::fs
