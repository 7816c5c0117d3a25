// SPDX-License-Identifier: Apache-2.0
// Which process made something, said so that it can be told much later whether that process still
// runs: a number comes back, a number with a start time does not.
//
// Threads: every function may be called from any thread. Where /proc does not tell, nothing is
// known, and nothing counts as gone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

// Where process numbers mean something.
struct Machine {
  std::string boot;                 // its boot id; empty: not known
  std::uint64_t pid_namespace = 0;  // the inode of ours; 0: not known

  friend bool operator==(const Machine&, const Machine&) = default;
};
// The one we run on. `boot`: its boot id.
Machine this_machine(std::string boot);

struct Process {
  pid_t pid = 0;
  std::uint64_t start = 0;  // clock ticks since the boot
  std::string name;         // the first 15 bytes of its program's, or what it calls itself

  friend bool operator==(const Process&, const Process&) = default;
};

// A process, and those it was started by.
struct Creator {
  static constexpr std::size_t kMost = 4;
  Machine machine;
  std::vector<Process> processes;  // up to kMost, the nearest first; never init

  friend bool operator==(const Creator&, const Creator&) = default;
};
// `thread` is what a FUSE request calls its process: the id of any thread of it.
std::optional<Creator> creator_of(pid_t thread, const Machine& machine);

// A line of JSON, and back; none where it is no such line.
std::string to_text(const Creator& creator);
std::optional<Creator> parse_creator(std::string_view text);

// Whether it has certainly ended; of this machine's processes.
bool is_gone(const Process& process);

// The signal that the process of `thread` is dying of at this moment; 0 when it lives, or ends by
// itself, or we may not know.
int dying_of(pid_t thread);

// Whether a process ends already, or is told to by SIGKILL: a thread that waits for a disk keeps it
// for as long as that takes.
bool is_ending(pid_t process);

}  // namespace spillfs::fs
