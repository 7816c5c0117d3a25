// SPDX-License-Identifier: Apache-2.0
// What mount(8), umount(8) and fsck(8) call: this program under the names mount.spillfs,
// umount.fuse.spillfs (the type in the mount table is fuse.spillfs) and fsck.spillfs. Their exit
// codes are those of the callers' manuals.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "fs/cli/commands.h"
#include "fs/config/helper_options.h"
#include "storage/device.h"

namespace spillfs::fs {

// The exit code, where argv[0] is one of these names, or where libfuse's own mount.fuse3 calls.
std::optional<int> run_as_helper(std::span<char*> argv, Streams streams);

enum MountHelperCode : int { kMountDone = 0, kMountUsage = 1, kMountFailed = 32 };
int run_mount_helper(std::span<char*> argv, Streams streams);
int run_umount_helper(std::span<char*> argv, Streams streams);

// Bits: kFsckFixed and kFsckLeft may come together.
enum FsckCode : int {
  kFsckGood = 0,
  kFsckFixed = 1,
  kFsckLeft = 4,
  kFsckFailed = 8,
  kFsckUsage = 16,
};
int run_fsck_helper(std::span<char*> argv, Streams streams);

// `options` say what the mount is to be from now on. Only the kernel's side of it changes: the
// daemon goes on as it was started, and options of its own have to be those that it has.
MountHelperCode remount(const std::string& mountpoint, const HelperOptions& options,
                        Streams streams);

}  // namespace spillfs::fs
