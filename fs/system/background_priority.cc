// SPDX-License-Identifier: Apache-2.0
#include "fs/system/background_priority.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spillfs::fs {

void read_when_idle() {
  constexpr int kThisThread = 1;  // IOPRIO_WHO_PROCESS; the kernel's header is not for C++
  constexpr int kIdle = 3 << 13;  // IOPRIO_CLASS_IDLE
  static_cast<void>(::syscall(SYS_ioprio_set, kThisThread, 0, kIdle));
}

void run_when_idle() {
  constexpr int kNicest = 19;
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNicest));
  read_when_idle();
}

}  // namespace spillfs::fs
