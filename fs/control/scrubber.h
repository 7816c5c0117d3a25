// SPDX-License-Identifier: Apache-2.0
// Walks a Volume's files and compares them with their sums: in the background, as fast as ScrubPlan
// says; and when it is asked for, as fast as the disk gives what no request wants.
//
// Threads: every method may be called from any thread. The walk has one of its own, of the lowest
// priority.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fs/control/control_files.h"
#include "fs/control/json_report.h"
#include "fs/control/scrub_plan.h"
#include "fs/volume/accounts/byte_pace.h"
#include "fs/volume/volume.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

struct ScrubberOptions {
  std::uint64_t rate = 0;                   // bytes a second in the background at least; 0: none
  std::chrono::milliseconds first{60'000};  // after the start
  std::chrono::seconds every{86'400};       // from the beginning of a pass to the next; 0: none
  std::chrono::seconds settled{60};         // the background leaves what was changed since alone
  std::function<std::int64_t()> now;        // seconds since 1970; not set: the machine's clock
};

class Scrubber {
 public:
  Scrubber(Volume& volume, ScrubberOptions options);  // `volume` outlives it
  ~Scrubber();

  // The report of a pass over everything (its lines: docs/CLI.md) that starts now, or of one under
  // way that was demanded before.
  std::shared_ptr<JsonReport> demand();
  // A reader of demand()'s report; at its end there may be more to come.
  std::unique_ptr<ControlReader> open();

  struct Status {
    std::uint64_t bytes = 0;                     // compared since the start
    std::optional<std::int64_t> last_full_pass;  // end of it, seconds since 1970; since the start
    std::int64_t oldest_age = 0;                 // seconds; ScrubPlan::oldest_age()
    std::uint64_t rate = 0;                      // bytes a second in the background, now; 0: none
  };
  Status status();

 private:
  using Clock = std::chrono::steady_clock;
  // The sums of a pass over everything.
  struct Pass {
    std::uint64_t bytes = 0, files = 0, unsummed = 0, damaged = 0;
  };

  void run(const std::stop_token& stop);
  std::shared_ptr<JsonReport> wait_for_work(const std::stop_token& stop);
  void walk_in_background(const std::stop_token& stop);
  Result<> walk_from_position(const std::stop_token& stop);
  nlohmann::json walk_for(JsonReport& report, const std::stop_token& stop);
  Result<Pass> walk_all(JsonReport& report, const std::stop_token& stop);
  void tell(JsonReport& report, const Scrubbed& found, Pass& pass);
  bool keep_to_rate(std::uint64_t bytes, const std::stop_token& stop);
  Result<SegmentId> begin_pass();
  Result<> end_pass();
  Result<> keep(SegmentId position);
  [[nodiscard]] std::int64_t now() const;
  void count(std::uint64_t bytes);

  Volume& volume_;
  const ScrubberOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<JsonReport> demanded_ GUARDED_BY(mutex_);
  Clock::time_point not_before_ GUARDED_BY(mutex_);  // of the background's walk
  ScrubPlan plan_ GUARDED_BY(mutex_);
  Status status_ GUARDED_BY(mutex_);
  BytePace pace_;  // the thread's own
  std::jthread thread_;
};

}  // namespace spillfs::fs
