// SPDX-License-Identifier: Apache-2.0
// The process that serves a mount: it opens the store's index and segments and answers requests
// until the mount ends or it is told to stop (SIGTERM). Another may have served it before, and
// died: then what that one had open, in the two memfds, goes on.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "fs/config/options.h"
#include "fs/store/store.h"
#include "fs/system/boot.h"
#include "fs/system/supervisor_counts.h"
#include "fs/volume/volume.h"
#include "storage/base/fd.h"

namespace spillfs::fs {

struct WorkerStart {
  Fd fuse;
  std::vector<std::byte> init;  // the kernel's INIT, answered already
  Fd staging;                   // memfd of the staging arena
  Fd open_files;                // memfd of the table of open files
  Volume::Start start = Volume::Start::kMount;
  SupervisorCounts* counts = nullptr;
  const Store* store = nullptr;
  MountOptions options;
  std::string mountpoint;  // for status only; never looked into
  Boot boot;               // as the supervisor sees it, which may mount
  int supervisor = 0;      // its process id
};

// Serves until the mount ends, as the whole of this process. Tells through the pipe `ready` when
// requests are answered ("+" and when, in nanoseconds of the monotonic clock), or what went wrong
// before (errno, a line's end, text).
[[noreturn]] void be_worker(WorkerStart start, Fd ready);

}  // namespace spillfs::fs
