// SPDX-License-Identifier: Apache-2.0
// Which process made something, said so that it can be told much later whether that process still
// runs: a number comes back, a number with a start time does not.
//
// Threads: every function may be called from any thread. Where /proc does not tell, nothing is
// known, and nothing counts as gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/system/boot.h"

namespace spillfs::fs {

// Where process numbers and start times mean something.
struct Machine {
  Boot boot;
  std::uint64_t pid_namespace = 0;   // the inode of ours; 0: not known
  std::chrono::nanoseconds clock{};  // what our time namespace adds to the boot's clock

  friend bool operator==(const Machine&, const Machine&) = default;
};
// The one we run on, in this boot of it. Its namespace is not known where /proc shows the processes
// of another one, nor where the clock isn't.
Machine this_machine(Boot boot);

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
  std::string runtime;             // whose name it gave what it made; empty: none's

  friend bool operator==(const Creator&, const Creator&) = default;
};
// `thread` is what a FUSE request calls its process: the id of any thread of it.
std::optional<Creator> creator_of(pid_t thread, const Machine& machine);

// A line of JSON, and back; none where it is no such line, nor where an earlier version has written
// it, which did not know whether the boot id was a container's.
std::string to_text(const Creator& creator);
std::optional<Creator> parse_creator(std::string_view text);

// Whether it has certainly ended; of this machine's processes.
bool is_gone(const Process& process);

// Whether the first `count` of its processes have certainly ended, as far as one can tell who is on
// the machine `here`, where `gone` says it of each. What another view of the machine wrote down
// (pid or time namespace, or a boot id that may be a container's) tells nothing.
bool have_ended(const Creator& creator, std::size_t count, const Machine& here,
                const std::function<bool(const Process&)>& gone = is_gone);

// The signal that the process of `thread` is dying of at this moment; 0 when it lives, or ends by
// itself, or we may not know.
int dying_of(pid_t thread);

// Whether a process ends already, or is told to by SIGKILL: a thread that waits for a disk keeps it
// for as long as that takes.
bool is_ending(pid_t process);

}  // namespace spillfs::fs
