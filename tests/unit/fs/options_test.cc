// SPDX-License-Identifier: Apache-2.0
#include "fs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

using testing::HasSubstr;

TEST(Options, AreTakenOver) {
  MountOptions options;
  ASSERT_TRUE(
      parse_options("quota=10GiB,threads=8,space_wait=0.5s,data=/a:/b,no_allow_other", options));
  EXPECT_EQ(options.quota, 10 * kGiB);
  EXPECT_EQ(options.threads, 8U);
  EXPECT_EQ(options.space_wait, std::chrono::milliseconds(500));
  EXPECT_THAT(options.data, testing::ElementsAre("/a", "/b"));
  EXPECT_EQ(options.allow_other, false);
  EXPECT_EQ(options.fuse_limit, 4 * kMiB) << "what is not given stays";
}

TEST(Options, ShownOnesParseToTheSame) {
  MountOptions options;
  ASSERT_TRUE(parse_options("quota=123456789,pool=0,log_level=debug,index_reserve=1MiB", options));
  const std::string shown = format_options(options);
  EXPECT_THAT(shown, HasSubstr("log_level=debug\n"));
  EXPECT_THAT(shown, HasSubstr("quota=123456789"));
  EXPECT_THAT(shown, HasSubstr("index_reserve=1MiB\n"));
}

TEST(Options, TimesKeepTheirMilliseconds) {
  for (const char* given : {"1.001s", "3599.999s", "0s", "0.25s"}) {
    MountOptions options;
    ASSERT_TRUE(parse_options(std::string("space_wait=") + given, options)) << given;
    EXPECT_THAT(format_options(options), HasSubstr(std::string("space_wait=") + given + "\n"));
  }
}

TEST(Options, WhatIsNoTimeIsRefused) {
  for (const char* given : {"nan", "inf", "-1", "3600.1", "", "s", "1m"}) {
    MountOptions options;
    const auto parsed = parse_options(std::string("space_wait=") + given, options);
    ASSERT_FALSE(parsed) << given;
    EXPECT_EQ(parsed.error().code, EINVAL);
  }
}

TEST(Options, RefusedOnesChangeNothing) {
  MountOptions options;
  const std::string before = format_options(options);
  EXPECT_FALSE(parse_options("quota=1GiB,data=/a:/b,threads=none", options));
  EXPECT_EQ(format_options(options), before);
  EXPECT_FALSE(parse_options("data=/a::/b", options));
  EXPECT_EQ(format_options(options), before);
}

TEST(Options, DurabilityHasAnIntervalOrNone) {
  MountOptions options;
  EXPECT_THAT(format_options(options), HasSubstr("durability=process\n"));
  ASSERT_TRUE(parse_options("durability=interval=2.5,quota=1GiB", options));
  EXPECT_EQ(options.durability, Durability::kInterval);
  EXPECT_EQ(options.sync_interval, std::chrono::milliseconds(2500));
  EXPECT_THAT(format_options(options), HasSubstr("durability=interval=2.5s\n"));
  ASSERT_TRUE(parse_options("durability=fsync", options));
  EXPECT_EQ(options.durability, Durability::kFsync);
  EXPECT_FALSE(parse_options("durability=interval=0.05", options));
  EXPECT_FALSE(parse_options("durability=interval", options));
  EXPECT_FALSE(parse_options("durability=always", options));
}

TEST(Options, BadOnesSayWhatIsWrong) {
  MountOptions options;
  const auto context = [&options](std::string_view text) {
    const auto parsed = parse_options(text, options);
    return parsed ? "parsed" : parsed.error().context;
  };
  EXPECT_THAT(context("quotta=1"), HasSubstr("did you mean 'quota'"));
  EXPECT_THAT(context("quota"), HasSubstr("needs a value"));
  EXPECT_THAT(context("allow_other=yes"), HasSubstr("takes no value"));
  EXPECT_THAT(context("segment_size=1"), HasSubstr("segment_size"));
  EXPECT_THAT(context("data=/a::/b"), HasSubstr("empty directory name"));
}

}  // namespace
}  // namespace spillfs::fs
