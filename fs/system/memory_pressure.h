// SPDX-License-Identifier: Apache-2.0
// Whether memory is tight, so that a new file's bytes had better go to disk past the page cache.
// Looks at the machine's available memory, at its memory pressure (PSI), and at the limits of the
// writer's memory cgroup and of that one's parents, version 1 or 2. What can't be read or makes no
// sense counts as plenty. Sizes in bytes.
// Threads: every method may be called from any thread; none throws.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class MemoryPressure {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    // Less than this is tight. Ray spills from four processes at a time, each at least 100 MiB:
    // this holds twice that, with something left for whoever else asks for memory meanwhile.
    static constexpr std::uint64_t kLeastAvailable = kGiB;
    // A small machine can do with this part of its memory (256 MiB of 1 GiB), else it would be
    // tight always.
    static constexpr std::uint64_t kSmallMachinePart = 4;
    // A tenth of a large machine's memory is soon gone when a runtime has begun to spill.
    static constexpr std::uint64_t kMachinePart = 10;
    // A cgroup needs more: nothing reclaims in its background, its writers do so themselves once
    // it is full. A small one has no allowance: the cache of one with 1 GiB or less is of no use.
    static constexpr std::uint64_t kCgroupPart = 4;
    // Per cent of the last ten seconds in which some task waited for memory. More than a moment
    // of it means that the working set no longer fits, whatever the other numbers say.
    static constexpr double kPressure = 10;
    // For so long an answer is remembered: much shorter than memory takes to fill.
    static constexpr std::chrono::seconds kAge{1};
  };

  // `root`: where proc and sys are found; `now`: the time. Both are for tests. The cgroup mounts
  // are looked up here, once.
  explicit MemoryPressure(std::string root = "/", std::function<Clock::time_point()> now = {});

  // Whether the bytes of a writer should not stay in memory. `pid`: the writing process; 0 when it
  // is not known (e.g. in another pid namespace): then the machine alone counts.
  [[nodiscard]] bool tight(pid_t pid) noexcept EXCLUDES(mutex_);

  // Why the last answer was what it was; asks for the machine when there is none yet. "plenty: 18.2
  // GiB available", "tight: the cgroup /job1 may still take 512.0 MiB", "tight: memory pressure 12
  // %".
  [[nodiscard]] std::string describe() noexcept EXCLUDES(mutex_);

 private:
  struct Mount {  // of a hierarchy that may have memory limits
    bool v2;
    std::string root;    // the cgroup seen at the mount point; empty: "/"
    std::string folder;  // the mount point
  };
  struct Answer {
    bool tight = false;
    std::string why;                       // empty: a cgroup without a limit
    std::uint64_t total = UINT64_MAX / 4;  // the machine's memory, as far as known
    Clock::time_point asked;
  };
  struct Tightest;

  std::vector<Mount> find_mounts() const;
  Answer machine() EXCLUDES(mutex_);
  Answer ask_machine() const;
  Answer cgroups(pid_t pid, std::uint64_t total) EXCLUDES(mutex_);
  Answer ask_cgroups(std::string_view memberships, std::uint64_t total) const;
  bool fresh(const Answer& answer) const { return now_() - answer.asked < Limits::kAge; }
  static void look(const Mount& mount, std::string_view cgroup, std::uint64_t total,
                   Tightest& tightest);

  const std::string root_;
  const std::function<Clock::time_point()> now_;
  const std::vector<Mount> mounts_;
  Mutex mutex_;  // not held while files are read
  std::optional<Answer> machine_ GUARDED_BY(mutex_);
  // By the text of /proc/PID/cgroup.
  std::unordered_map<std::string, Answer> cgroups_ GUARDED_BY(mutex_);
  std::string last_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
