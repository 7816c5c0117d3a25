// SPDX-License-Identifier: Apache-2.0
#include "fs/system/supervisor_counts.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace spillfs::fs {

Result<SupervisorCounts*> map_counts(const Fd& memory) {
  if (::ftruncate(memory.get(), sizeof(SupervisorCounts)) != 0) {
    return fail_errno(errno, "size the memory that workers share");
  }
  void* counts = ::mmap(nullptr, sizeof(SupervisorCounts), PROT_READ | PROT_WRITE, MAP_SHARED,
                        memory.get(), 0);
  if (counts == MAP_FAILED) return fail_errno(errno, "map the memory that workers share");
  return static_cast<SupervisorCounts*>(counts);
}

}  // namespace spillfs::fs
