// SPDX-License-Identifier: Apache-2.0
#include "fs/helpers.h"

#include <array>
#include <filesystem>

namespace spillfs::fs {
namespace {

struct Helper {
  std::string_view name;
  int (*run)(std::span<char*>, Streams);
};
constexpr std::array kHelpers{
    Helper{"mount.spillfs", run_mount_helper},   Helper{"mount.fuse.spillfs", run_mount_helper},
    Helper{"umount.spillfs", run_umount_helper}, Helper{"umount.fuse.spillfs", run_umount_helper},
    Helper{"fsck.spillfs", run_fsck_helper},
};

}  // namespace

std::optional<int> run_as_helper(std::span<char*> argv, Streams streams) {
  if (argv.empty()) return std::nullopt;
  const std::string name = std::filesystem::path(argv.front()).filename().string();
  for (const Helper& helper : kHelpers) {
    if (name == helper.name) return helper.run(argv, streams);
  }
  return std::nullopt;
}

}  // namespace spillfs::fs
