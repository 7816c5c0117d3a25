// SPDX-License-Identifier: Apache-2.0
// Heartbeat: shows the supervisor, in the memory that it shares with the worker, that the worker
// lives: once a second `beats` moves. While requests are served it does so only if they get
// through, which a slow disk may keep them from, but nothing of ours. A receive thread either waits
// for the kernel's next request or is in one, so it is the requests that are looked at, and one of
// our own to the index every second.
#pragma once

#include <chrono>
#include <thread>

#include "fs/system/supervisor_counts.h"
#include "fs/volume/volume.h"
#include "storage/base/mutex.h"
#include "storage/base/slow_watch.h"

namespace spillfs::fs {

class Heartbeat {
 public:
  // From its start to its end the worker may open and close a store, for as long as that takes.
  explicit Heartbeat(SupervisorCounts& counts);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // Requests are served as long as it lives. All arguments outlive it.
  class Proof {
   public:
    Proof(Heartbeat& heartbeat, Volume& volume, SlowWatch& slow);
    ~Proof();
    Proof(const Proof&) = delete;
    Proof& operator=(const Proof&) = delete;

   private:
    void ask(const std::stop_token& stop);

    Heartbeat& heartbeat_;
    Volume& volume_;
    SlowWatch& slow_;
    std::jthread thread_;
  };

 private:
  void beat(const std::stop_token& stop) EXCLUDES(mutex_);

  SupervisorCounts& counts_;
  Mutex mutex_;
  CondVar stopping_;
  SlowWatch* slow_ GUARDED_BY(mutex_) = nullptr;  // while requests are served
  std::jthread thread_;
};

// Whether a thread of this process waits for a disk, or for another file system, right now.
bool waits_for_a_disk();

}  // namespace spillfs::fs
