// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/helpers.h"

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

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

// "spillfs STORE MOUNTPOINT -o OPTIONS", no verb: the helper of libfuse (mount.fuse3) starts a file
// system's program so where its own helper is not installed. No verb has a '/'.
bool is_call_of_mount_fuse(std::span<char*> argv) {
  return argv.size() == 5 && std::string_view(argv[1]).find('/') != std::string_view::npos &&
         argv[3] == std::string_view("-o");
}

// For root that helper adds options at the end which nobody asked for and a mount can't have.
int run_for_mount_fuse(std::span<char*> argv, Streams streams) {
  constexpr std::string_view kAdded = ",dev,suid";
  std::string options = argv[4];
  if (options.ends_with(kAdded)) options.resize(options.size() - kAdded.size());
  std::vector<char*> words(argv.begin(), argv.end());
  words[4] = options.data();
  return run_mount_helper(words, streams);
}

}  // namespace

std::optional<int> run_as_helper(std::span<char*> argv, Streams streams) {
  if (argv.empty()) return std::nullopt;
  const std::string name = std::filesystem::path(argv.front()).filename().string();
  for (const Helper& helper : kHelpers) {
    if (name == helper.name) return helper.run(argv, streams);
  }
  if (is_call_of_mount_fuse(argv)) return run_for_mount_fuse(argv, streams);
  return std::nullopt;
}

}  // namespace spillfs::fs
