// SPDX-License-Identifier: Apache-2.0
// What is mounted where, as this process sees it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

inline constexpr std::string_view kSpillfsType = "fuse.spillfs";

struct MountEntry {
  std::uint64_t id = 0;  // a later mount may get it again
  std::string device;    // "0:51"
  std::string root;      // what of its file system is there: "/", or less after mount --bind
  std::string where;
  std::string options;  // of the mount and of its file system: "rw,relatime,rw,discard"
  std::string type;     // "ext4"
  std::string source;   // what who mounted it says that it is of
};

// A line of /proc/self/mountinfo; none where it is no such line.
std::optional<MountEntry> parse_mount_line(const std::string& line);
// In the order they were made: of two on one directory the last is on top.
std::vector<MountEntry> mount_table();
// As another process sees it, which may have a table of its own; none where that can't be seen.
std::optional<std::vector<MountEntry>> mount_table_of(pid_t process);

// Who made a mount of FUSE: the kernel writes that down, not its daemon.
struct MountOwner {
  uid_t user = 0;
  gid_t group = 0;
};
std::optional<MountOwner> owner_of(const MountEntry& entry);

// The one that `path`, absolute and without links, lies on; also where nothing is there.
std::optional<MountEntry> mount_of(const std::string& path);

}  // namespace spillfs::fs
