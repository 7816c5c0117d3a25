// SPDX-License-Identifier: Apache-2.0
#include "fs/control/scrub_plan.h"

#include <gtest/gtest.h>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;

constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kBorn = 1'700'000'000;
constexpr ScrubPlanOptions kDaily{.least_rate = 16 * kMiB, .every = 24h, .settled = 60s};

TEST(ScrubPlan, GoesAsFastAsTheStoreIsLarge) {
  const ScrubPlan plan(kDaily, {}, kBorn);
  EXPECT_EQ(plan.rate(0), 16 * kMiB);
  EXPECT_EQ(plan.rate(kGiB), 16 * kMiB) << "the least";
  const std::uint64_t ten_tb = 10'000'000'000'000;
  EXPECT_GE(plan.rate(ten_tb) * 24 * kHour, ten_tb) << "all of it in a day";
  EXPECT_LE(plan.rate(ten_tb) * 24 * kHour, 2 * ten_tb);
  const ScrubPlan weekly({.least_rate = kMiB, .every = 7 * 24h}, {}, kBorn);
  EXPECT_GE(weekly.rate(ten_tb) * 7 * 24 * kHour, ten_tb);
  EXPECT_LT(weekly.rate(ten_tb), plan.rate(ten_tb));
}

TEST(ScrubPlan, EitherOptionSwitchesItOff) {
  EXPECT_FALSE(ScrubPlan({.least_rate = 0, .every = 24h}, {}, kBorn).is_due(kBorn + 1000 * kHour));
  EXPECT_FALSE(ScrubPlan({.least_rate = 1, .every = 0s}, {}, kBorn).is_due(kBorn + 1000 * kHour));
}

TEST(ScrubPlan, APassBeginsEverySoOften) {
  ScrubPlan plan(kDaily, {}, kBorn);
  const std::int64_t first = kBorn + kHour;
  EXPECT_TRUE(plan.is_due(first));
  plan.begin(first);
  EXPECT_TRUE(plan.is_due(first)) << "it goes on";
  plan.end();
  EXPECT_FALSE(plan.is_due(first + 23 * kHour)) << "however long the pass took";
  EXPECT_TRUE(plan.is_due(first + 24 * kHour));
  EXPECT_TRUE(plan.is_due(first - 1000 * kHour)) << "the clock was set back";
}

TEST(ScrubPlan, SaysHowOldTheOldestIs) {
  ScrubPlan plan(kDaily, {}, kBorn);
  EXPECT_EQ(plan.oldest_age(kBorn), 0);
  EXPECT_EQ(plan.oldest_age(kBorn + 5 * kHour), 5 * kHour) << "nothing was compared yet";
  plan.begin(kBorn + 6 * kHour);
  EXPECT_EQ(plan.oldest_age(kBorn + 8 * kHour), 8 * kHour) << "what comes last was not";
  plan.end();
  // What comes first was compared when it began, what had just been written then was left alone.
  EXPECT_EQ(plan.oldest_age(kBorn + 8 * kHour), 2 * kHour + 60);
  plan.begin(kBorn + 30 * kHour);
  EXPECT_EQ(plan.oldest_age(kBorn + 31 * kHour), 25 * kHour + 60);
  plan.end_full(kBorn + 32 * kHour);
  EXPECT_EQ(plan.oldest_age(kBorn + 33 * kHour), kHour);
  EXPECT_EQ(plan.oldest_age(kBorn), 0) << "the clock was set back";
}

TEST(ScrubPlan, GoesOnFromItsMark) {
  ScrubPlan plan(kDaily, {}, kBorn);
  plan.begin(kBorn + kHour);
  plan.end();
  plan.begin(kBorn + 25 * kHour);
  ScrubPlan next(kDaily, plan.mark(), kBorn);
  EXPECT_EQ(next.oldest_age(kBorn + 26 * kHour), 25 * kHour + 60);
  next.begin(kBorn + 27 * kHour);
  next.end();
  EXPECT_EQ(next.oldest_age(kBorn + 28 * kHour), 3 * kHour + 60) << "since the pass began at first";
}

}  // namespace
}  // namespace spillfs::fs
