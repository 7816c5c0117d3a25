// SPDX-License-Identifier: Apache-2.0
#include "fs/control/scrub_plan.h"

#include <algorithm>
#include <cmath>

namespace spillfs::fs {
namespace {

constexpr double kHeadroom = 1.25;  // the store grows, and the disk has other work

}  // namespace

bool ScrubPlan::is_due(std::int64_t now) const {
  if (options_.least_rate == 0 || options_.every.count() == 0) return false;
  if (mark_.began != 0 || mark_.compared_since == 0) return true;
  const std::int64_t since = now - mark_.compared_since;
  return since < 0 || since >= options_.every.count();  // below 0: the clock was set back
}

std::uint64_t ScrubPlan::rate(std::uint64_t bytes) const {
  if (options_.every.count() == 0) return options_.least_rate;
  const double needed =
      kHeadroom * static_cast<double>(bytes) / static_cast<double>(options_.every.count());
  return std::max(options_.least_rate, static_cast<std::uint64_t>(std::ceil(needed)));
}

void ScrubPlan::begin(std::int64_t now) {
  if (mark_.began == 0) mark_.began = now - options_.settled.count();
}

void ScrubPlan::end() {
  mark_ = {.began = 0, .compared_since = std::max(mark_.began, mark_.compared_since)};
}

void ScrubPlan::end_full(std::int64_t began) { mark_ = {.began = 0, .compared_since = began}; }

std::int64_t ScrubPlan::oldest_age(std::int64_t now) const {
  const std::int64_t since = mark_.compared_since != 0 ? mark_.compared_since : born_;
  return std::max<std::int64_t>(0, now - since);
}

}  // namespace spillfs::fs
