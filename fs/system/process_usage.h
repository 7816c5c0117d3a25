// SPDX-License-Identifier: Apache-2.0
// What this process uses of the machine, as /proc says.
#pragma once

#include <cstdint>

namespace spillfs::fs {

// What can't be read is 0.
struct ProcessUsage {
  double cpu_seconds = 0;
  double start_time = 0;           // seconds since 1970
  std::uint64_t resident = 0;      // bytes
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t descriptors = 0;
  std::uint64_t most_descriptors = 0;
  std::uint64_t threads = 0;
};
ProcessUsage process_usage();

}  // namespace spillfs::fs
