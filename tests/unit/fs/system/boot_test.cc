// SPDX-License-Identifier: Apache-2.0
#include "fs/system/boot.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>

namespace spillfs::tests {
namespace {

using fs::BootChoice;
using fs::BootedSince;
using fs::BootView;
using index::BootClock;
using index::SyncMark;

constexpr BootClock kThen{.booted = 1'700'000'000'000, .uptime = 100'000};

SyncMark mark(std::string id, bool certain, BootClock clock = kThen) {
  return {.boot = std::move(id), .certain = certain, .clock = clock};
}

BootView view(std::string id, bool certain, BootClock clock = kThen) {
  return {.boot = {.id = std::move(id), .certain = certain}, .clock = [clock] { return clock; }};
}

TEST(Boot, ItsIdIsTheKernelsAndCertainHere) {
  const fs::Boot boot = fs::this_boot();
  EXPECT_TRUE(boot.certain);
  EXPECT_EQ(boot.id.size(), 36U);
  EXPECT_EQ(boot, fs::this_boot());
}

TEST(Boot, ItsClockRunsSinceTheBoot) {
  ASSERT_TRUE(fs::boot_clock_offset());
  const BootClock clock = fs::boot_clock(fs::boot_clock_offset());
  double uptime = 0;
  ASSERT_TRUE(std::ifstream("/proc/uptime") >> uptime);
  EXPECT_NEAR(static_cast<double>(clock.uptime) / 1000, uptime, 60);
  EXPECT_LT(clock.booted / 1000, std::time(nullptr));
  EXPECT_EQ(fs::boot_clock(std::nullopt), BootClock());
}

TEST(BootedSince, ACertainIdDecides) {
  EXPECT_EQ(booted_since(mark("a", true), view("a", true)), BootedSince::kNo);
  EXPECT_EQ(booted_since(mark("a", true), view("b", true)), BootedSince::kYes);
}

TEST(BootedSince, AStoreThatWasNeverUsedIsOfThisBoot) {
  EXPECT_EQ(booted_since({}, view("a", true)), BootedSince::kNo);
  EXPECT_EQ(booted_since({}, view("", false)), BootedSince::kNo);
}

TEST(BootedSince, WhereAnIdIsAContainersTheClocksDecide) {
  for (const auto& [then, now] : {std::pair(false, true), {true, false}, {false, false}}) {
    EXPECT_EQ(booted_since(mark("a", then), view("b", now)), BootedSince::kNo);
    EXPECT_EQ(booted_since(mark("a", then), view("a", now)), BootedSince::kNo);
    BootClock clock{.booted = kThen.booted + 60'000, .uptime = 50'000};
    EXPECT_EQ(booted_since(mark("a", then), view("b", now, clock)), BootedSince::kYes)
        << "it runs for less long than it did";
    clock.uptime = kThen.uptime + 1000;
    EXPECT_EQ(booted_since(mark("a", then), view("b", now, clock)), BootedSince::kUnknown)
        << "booted later, or the clock was set";
    EXPECT_EQ(booted_since(mark("a", then), view("b", now, {})), BootedSince::kUnknown);
    // An image may have one id for all its containers.
    EXPECT_EQ(booted_since(mark("a", then), view("a", now, clock)), BootedSince::kUnknown);
  }
  EXPECT_EQ(booted_since(mark("", false), view("", false)), BootedSince::kNo);
}

TEST(BootedSince, TheUserDecides) {
  BootView now = view("b", true);
  now.choice = BootChoice::kSame;
  EXPECT_EQ(booted_since(mark("a", true), now), BootedSince::kNo);
  now.choice = BootChoice::kNew;
  EXPECT_EQ(booted_since(mark("b", true), now), BootedSince::kYes);
}

TEST(BootedSince, AMarkOfAnEarlierVersionHasOnlyAnId) {
  const auto earlier = [](std::string id) { return mark(std::move(id), false, {}); };
  EXPECT_EQ(booted_since(earlier("a"), view("a", true)), BootedSince::kNo);
  EXPECT_EQ(booted_since(earlier("a"), view("b", false)), BootedSince::kUnknown);
  EXPECT_EQ(booted_since(earlier("a"), view("b", true)), BootedSince::kYes);
  BootView now = view("b", true);
  now.last_written = kThen.booted / 1000 - 100;
  EXPECT_EQ(booted_since(earlier("a"), now), BootedSince::kYes);
  now.last_written = kThen.booted / 1000 + 100;
  EXPECT_EQ(booted_since(earlier("a"), now), BootedSince::kUnknown)
      << "this boot wrote it under another id";
}

}  // namespace
}  // namespace spillfs::tests
