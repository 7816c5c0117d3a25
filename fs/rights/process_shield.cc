// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/process_shield.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <csignal>

namespace spillfs::fs {

void shield_process() {
  for (const int number : {SIGPIPE, SIGXFSZ, SIGXCPU}) ::signal(number, SIG_IGN);
  for (const auto resource : {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CPU}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(resource, &limit) != 0) spdlog::warn("a limit stays as it is");
  }
}

}  // namespace spillfs::fs
