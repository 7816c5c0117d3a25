// SPDX-License-Identifier: Apache-2.0
// When the background scrub begins, how fast it goes, and how old the oldest bytes are that have
// not been compared. Knows no clock: times are given, in seconds since 1970. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

#include "index/index.h"

namespace spillfs::fs {

struct ScrubPlanOptions {
  std::uint64_t least_rate = 0;     // bytes a second; 0: no background scrub
  std::chrono::seconds every{0};    // from the beginning of a pass to that of the next; 0: none
  std::chrono::seconds settled{0};  // a pass leaves what was changed so shortly before it alone
};

class ScrubPlan {
 public:
  // `mark`: as it was kept. Without one, nothing since `born` has been compared.
  ScrubPlan(ScrubPlanOptions options, index::ScrubMark mark, std::int64_t born)
      : options_(options), mark_(mark), born_(born) {}

  [[nodiscard]] bool is_due(std::int64_t now) const;
  // Bytes a second: the least, or so many that a pass over `bytes` is done in time.
  [[nodiscard]] std::uint64_t rate(std::uint64_t bytes) const;

  // A pass begins in the background, or one that was stopped goes on.
  void begin(std::int64_t now);
  // The one in the background has come to its end.
  void end();
  // One that began at `began` has looked at everything, also at what was just changed.
  void end_full(std::int64_t began);

  // Every byte that has a sum has been compared, or was written, so many seconds ago at most.
  [[nodiscard]] std::int64_t oldest_age(std::int64_t now) const;
  // To be kept.
  [[nodiscard]] const index::ScrubMark& mark() const { return mark_; }

 private:
  const ScrubPlanOptions options_;
  index::ScrubMark mark_;
  const std::int64_t born_;
};

}  // namespace spillfs::fs
