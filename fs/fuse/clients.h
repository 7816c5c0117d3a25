// SPDX-License-Identifier: Apache-2.0
// Clients: which threads of which processes send most requests, in a table that does not grow:
// where it is full the one with the fewest gives its place, and its number, to the new one (the
// space-saving sketch). So a busy one is always in it, and its number is too high by at most
// `surplus`.
// Threads: every method may be called from any thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs::fs {

class Clients {
 public:
  static constexpr std::size_t kTracked = 64;

  struct Client {
    pid_t process = 0;  // its thread's id; 0: of another pid namespace, or the kernel itself
    std::uint64_t requests = 0;
    std::uint64_t surplus = 0;  // at most so many of them were others'
  };

  void count(pid_t process);
  // Busiest first, kTracked at most.
  std::vector<Client> busiest();

 private:
  // Each thread counts in one of its own, so that none waits for another.
  struct Table {
    Mutex mutex;
    std::size_t used GUARDED_BY(mutex) = 0;
    std::array<Client, kTracked> clients GUARDED_BY(mutex){};
  };
  static constexpr std::size_t kTables = 16;
  static void count_in(Table& table, pid_t process) REQUIRES(table.mutex);

  std::array<Table, kTables> tables_;
};

// A JSON list, a process each: pid, command, requests, surplus.
std::string clients_text(Clients& clients);

}  // namespace spillfs::fs
