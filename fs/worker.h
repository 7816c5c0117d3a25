// SPDX-License-Identifier: Apache-2.0
// The process that serves a mount: it opens the store's index and segments and answers requests
// until the mount ends or it is told to stop (SIGTERM).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/options.h"
#include "fs/store.h"
#include "storage/base/fd.h"

namespace spillfs::fs {

struct WorkerStart {
  Fd fuse;
  std::vector<std::byte> init;  // the kernel's INIT, answered already
  Fd staging;                   // memfd of the staging arena
  const Store* store = nullptr;
  MountOptions options;
  std::string mountpoint;  // for status only; never looked into
  int supervisor = 0;      // its process id
};

// Serves; calls `ready` once requests are answered. What is returned after it is how it ended.
Result<> run_worker(WorkerStart start, const std::function<void()>& ready);

// The machine's, which changes when it starts anew; empty where it has none.
std::string boot_id();

// The segments of a store, for whoever holds its lock.
Result<std::unique_ptr<storage::SegmentStore>> open_segments(const Store& store,
                                                             const MountOptions& options);
// As well, with the index.
Result<Volume::Parts> open_parts(const Store& store, const MountOptions& options,
                                 std::unique_ptr<storage::Staging> staging);

}  // namespace spillfs::fs
