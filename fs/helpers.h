// SPDX-License-Identifier: Apache-2.0
// What mount(8), umount(8) and fsck(8) call: this program under the names mount.spillfs,
// umount.fuse.spillfs (the type in the mount table is fuse.spillfs) and fsck.spillfs. Their exit
// codes are those of the callers' manuals.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fs/commands.h"
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

// What a mount is asked for by "-o TEXT…", taken apart.
struct HelperOptions {
  std::string config;               // of config=FILE
  std::vector<std::string> own;     // of the option table
  std::vector<std::string> kernel;  // for mount(2)
  // Of a mount that is there already and is to be so from now on.
  std::optional<storage::Access> remount;
};
enum class Sloppy : std::uint8_t { kNo, kYes };  // unknown options are passed over
// Options that mount(8) or others handle are left out; one that asks for what a mount can't be
// ("sync") is EINVAL with a sentence, as is an unknown one.
Result<HelperOptions> take_apart(const std::vector<std::string>& texts, Sloppy sloppy);

// `options` say what the mount is to be from now on. Only the kernel's side of it changes: the
// daemon goes on as it was started, and options of its own have to be those that it has.
MountHelperCode remount(const std::string& mountpoint, const HelperOptions& options,
                        Streams streams);

}  // namespace spillfs::fs
