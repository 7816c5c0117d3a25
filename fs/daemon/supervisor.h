// SPDX-License-Identifier: Apache-2.0
// The supervisor: mounts, answers the kernel's INIT, makes the memory that outlives a worker
// (staged bytes and the table of open files), forks the worker, forks another when it dies, and
// cleans up after the last. One thread; no RocksDB, so that it can fork.
#pragma once

#include <functional>
#include <string>

#include "fs/config/exit_codes.h"
#include "fs/config/options.h"
#include "fs/daemon/hand_over.h"
#include "fs/store/store.h"

namespace spillfs::fs {

struct MountPlan {
  Store store;
  std::string mountpoint;  // absolute, checked by check_mountpoint()
  MountOptions options;
  std::vector<GivenOption> given;         // `options`, in their order
  std::string config_file;                // read again when the mount is reloaded; empty: none
  std::vector<std::string> kernel_flags;  // "noexec", … for mount(2)
  bool background = false;                // leave the terminal when ready
};

// From now on what ends a mount waits until this process supervises one.
void hold_signals();

// Mounts and stays until the mount has ended: by umount, by SIGTERM, or because workers keep dying
// (or one has died, where the kernel can't send its requests again). Calls `ready` once, when the
// mount can be used. Errors are those before that.
Result<ExitCode> supervise(MountPlan plan, const std::function<void()>& ready);

// As supervise(), in the place of a program that has supervised the mount so far: SIGHUP had it
// look for a new one where it was started from, and a worker of that one serves already; or it has
// ended and nothing serves what the service manager kept. SIGUSR2 ends it in that way, and so does
// SIGTERM for a restart. `options`
// are those of `what`.
Result<ExitCode> supervise_on(const HandOver& what, const MountOptions& options);

}  // namespace spillfs::fs
