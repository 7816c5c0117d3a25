// SPDX-License-Identifier: Apache-2.0
// WorkerProcess: the worker as its supervisor has it, one at a time: a fork of this process or of
// another program. For a process with one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>

#include "fs/daemon/successor.h"
#include "fs/system/supervisor_counts.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class WorkerProcess {
 public:
  using Clock = std::chrono::steady_clock;

  // The child becomes the worker in `serve`, which gets where to tell that it serves (be_worker())
  // and does not come back.
  Result<> start(SupervisorCounts& counts, const std::function<void(Fd ready)>& serve);
  // One that this process has started as another program, and that serves.
  void adopt(pid_t pid);

  // kNoProcess: there is none.
  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  // How it has ended (waitpid(2)), if it has: then there is none any more. Waits for no one, and
  // for whatever else this process had as children, too.
  std::optional<int> reap();

  // Waits until it serves, or at most `patience`: since when it does, or what went wrong. `pause`
  // is called all the while and says after how long it wants to be again.
  Result<Clock::time_point> await(std::optional<Clock::duration> patience,
                                  const std::function<std::chrono::milliseconds()>& pause);
  // Of the one that has ended last: whether it came to serve and then went on for a while.
  bool has_lived(const std::function<std::chrono::milliseconds()>& pause);
  // Of that one: whether it lacked what there may be again, such as space or memory.
  [[nodiscard]] bool lacked_something() const;
  // To be asked while its end is waited for: true once, when that takes long.
  bool is_slow_to_end();

 private:
  pid_t pid_ = kNoProcess;
  Fd told_;
  // Since when it serves, or why not.
  Result<Clock::time_point> serves_ = fail(EAGAIN, "not known yet");
  std::optional<Clock::time_point> slow_at_;  // when its end begins to take long
};

}  // namespace spillfs::fs
