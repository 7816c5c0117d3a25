// SPDX-License-Identifier: Apache-2.0
// The supervisor: mounts, answers the kernel's INIT, makes the staging memory, forks the worker and
// stays to clean up after it. One thread; no RocksDB, so that it can fork.
#pragma once

#include <functional>
#include <string>

#include "fs/exit_codes.h"
#include "fs/options.h"
#include "fs/store.h"

namespace spillfs::fs {

struct MountPlan {
  Store store;
  std::string mountpoint;  // absolute, checked by check_mountpoint()
  MountOptions options;
  bool background = false;  // leave the terminal when ready
};

// What is wrong with a mountpoint, in a sentence; clears away a dead mount first. Returns it as an
// absolute path.
Result<std::string> check_mountpoint(const std::string& mountpoint,
                                     const std::vector<std::string>& directories);

// Mounts and stays until the mount has ended, by umount, SIGTERM or the worker's death. Calls
// `ready` once, when the mount can be used. Errors are those before that.
Result<ExitCode> supervise(MountPlan plan, const std::function<void()>& ready);

}  // namespace spillfs::fs
