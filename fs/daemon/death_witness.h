// SPDX-License-Identifier: Apache-2.0
// DeathWitness: says what processes are dying of. The kernel tells that of another user's process
// to who may look into any process; so a helper is asked, which can do nothing else, and not often:
// only where a process is ending. Threads: dying_of() may be called from any.
#pragma once

#include <sys/types.h>

#include <optional>

#include "fs/rights/helper_process.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class DeathWitness {
 public:
  // While this process has one thread. Without CAP_SYS_PTRACE there is no helper: this process sees
  // as much as one would.
  DeathWitness();

  // As fs::dying_of(). 0 where the helper does not answer.
  int dying_of(pid_t thread) EXCLUDES(mutex_);

 private:
  Mutex mutex_;  // one question at a time
  std::optional<HelperProcess> helper_ GUARDED_BY(mutex_);
  bool lost_ GUARDED_BY(mutex_) = false;  // it has not answered once
};

}  // namespace spillfs::fs
