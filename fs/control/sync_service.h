// SPDX-License-Identifier: Apache-2.0
// Brings everything that a mount has taken to disk, as .spillfs/sync is asked to: the kernel passes
// no syncfs(2) on to a mount of this kind.
//
// Every user of the mount may ask, as for sync(2). The request is "sync" in a single write. The
// answer is a line, once all that had been written before is on disk, or has failed:
//   {"done":true} or {"done":true,"error":"…"}
// All who ask while one sync is under way share the next.
//
// Threads: every method may be called from any thread. The syncs have one of their own.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "fs/control/control_files.h"
#include "fs/control/json_report.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class SyncService {
 public:
  // `sync` outlives it, and is called by its own thread between start() and stop().
  explicit SyncService(std::function<Result<>()> sync) : sync_(std::move(sync)) {}
  ~SyncService() { stop(); }
  SyncService(const SyncService&) = delete;
  SyncService& operator=(const SyncService&) = delete;

  // A handle of .spillfs/sync: the request goes in, once, and the answer comes out.
  std::unique_ptr<ControlReader> open();
  // The answer comes into the report.
  std::shared_ptr<JsonReport> ask() EXCLUDES(mutex_);

  void start();
  // Who still waits is told that the mount ends.
  void stop() EXCLUDES(mutex_);

 private:
  using Reports = std::vector<std::shared_ptr<JsonReport>>;

  void run(const std::stop_token& stop);
  Reports next(const std::stop_token& stop) EXCLUDES(mutex_);

  const std::function<Result<>()> sync_;
  Mutex mutex_;
  CondVar asked_;
  Reports waiting_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace spillfs::fs
