// SPDX-License-Identifier: Apache-2.0
#include "fs/config/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/config/older_options.h"
#include "fs/config/option_doubts.h"
#include "tests/support/shown_options.h"

namespace spillfs::fs {
namespace {

using testing::HasSubstr;
using tests::format_options;

TEST(Options, AreTakenOver) {
  MountOptions options;
  ASSERT_TRUE(
      parse_options("quota=10GiB,threads=8,space_wait=0.5s,data=/a:/b,no_allow_other", options));
  EXPECT_EQ(options.quota, 10 * kGiB);
  EXPECT_EQ(options.threads, 8U);
  EXPECT_EQ(options.space_wait, std::chrono::milliseconds(500));
  EXPECT_THAT(options.data, testing::ElementsAre("/a", "/b"));
  EXPECT_EQ(options.allow_other, false);
  EXPECT_EQ(options.fuse_limit, 512 * kKiB) << "what is not given stays";
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

TEST(Options, WhatWouldBecomeNothingIsRefused) {
  for (const char* given : {"quota=0.5", "user_quota=0.9", "quota=1.5", "scrub_rate=0.9",
                            "pool=0.0001k", "quota=10GB", "space_wait=0.0001s"}) {
    MountOptions options;
    const std::string before = format_options(options);
    const auto parsed = parse_options(given, options);
    ASSERT_FALSE(parsed) << given;
    EXPECT_EQ(parsed.error().code, EINVAL);
    EXPECT_EQ(format_options(options), before);
  }
}

TEST(Options, SmallBareSizesAreDoubted) {
  const auto doubts = doubts_about({{"quota=100,fuse_limit=0,pool=100B", "-o"},
                                    {"scrub_rate=16", "/f.toml:3"},
                                    {"user_quota=1", "-o"},
                                    {"user_quota=4096,threads=8", "-o"}});
  EXPECT_THAT(doubts,
              testing::ElementsAre("-o: quota=100 is 100 bytes; did you mean 100GiB?",
                                   "/f.toml:3: scrub_rate=16 is 16 bytes; did you mean 16MiB?"));
}

TEST(Options, OlderProgramsMeantOtherThings) {
  EXPECT_EQ(older_options("quota=10GB,threads=8"), "quota=10737418240,threads=8");
  EXPECT_EQ(older_options("quota=1.5,user_quota=0.9"), "quota=1,user_quota=0");
  EXPECT_EQ(older_options("pool=0.0001k,space_wait=0.0001s"), "pool=0,space_wait=0s");
  EXPECT_EQ(older_options(R"(data=/a\,b,quota=1kb)"), R"(data=/a\,b,quota=1024)");
  EXPECT_EQ(older_options("quota=1GiB,,allow_other"), "quota=1GiB,,allow_other");
  EXPECT_EQ(older_options("quotta=1GB,quota=GB"), "quotta=1GB,quota=GB");
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

TEST(Options, TheScrubHasAPeriodOrNone) {
  MountOptions options;
  EXPECT_EQ(options.scrub_every, std::chrono::hours(24));
  ASSERT_TRUE(parse_options("scrub_every=7d", options));
  EXPECT_EQ(options.scrub_every, std::chrono::hours(7 * 24));
  for (const char* none : {"scrub_every=off", "scrub_every=0"}) {
    ASSERT_TRUE(parse_options(none, options));
    EXPECT_EQ(options.scrub_every.count(), 0) << none;
  }
  for (const char* bad : {"scrub_every=59s", "scrub_every=24", "scrub_every=", "scrub_every=-1h"}) {
    EXPECT_EQ(parse_options(bad, options).error().code, EINVAL) << bad;
  }
}

TEST(Options, BackslashTakesAwayWhatAnySeparatorMeans) {
  MountOptions options;
  ASSERT_TRUE(parse_options(R"(data=/a\,b:/c\:d:/e\f:/g\\\\h,quota=1GiB)", options));
  EXPECT_THAT(options.data, testing::ElementsAre("/a,b", "/c:d", R"(/e\f)", R"(/g\h)"));
  EXPECT_EQ(options.quota, kGiB);
  for (const char* folder : {"/a,b:c", R"(/a\)", R"(\,\:\\)", R"(/a\:)", ",", ":"}) {
    const std::vector<std::string> folders{folder, "/next"};
    ASSERT_TRUE(parse_options(option_text("data", join_list(folders)), options)) << folder;
    EXPECT_EQ(options.data, folders);
  }
}

TEST(Options, KnowWhereTheyWereGiven) {
  const auto options = parse_options({{"quota=1GiB,threads=2", "/f.toml:3"},
                                      {"no_allow_other", "/f.toml:4"},
                                      {"quota=2GiB", std::string(kFromCommandLine)}});
  ASSERT_TRUE(options);
  EXPECT_THAT(options->origins, testing::ElementsAre(testing::Pair("allow_other", "/f.toml:4"),
                                                     testing::Pair("quota", "-o"),
                                                     testing::Pair("threads", "/f.toml:3")));
  const auto refused = parse_options({{"quota=1GiB", "-o"}, {"threads=99", "/f.toml:3"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().context, testing::StartsWith("/f.toml:3: option 'threads'"));
}

TEST(Options, TableIsWhole) {
  for (const OptionSpec& spec : option_table()) {
    EXPECT_FALSE(spec.help.empty() || spec.fallback.empty() || !spec.set) << spec.name;
    EXPECT_EQ(spec.kind == OptionKind::kSwitch, spec.value.empty()) << spec.name;
    for (const std::string_view word : spec.words) {
      MountOptions options;
      const bool whole = !word.ends_with('=');
      EXPECT_EQ(parse_options(option_text(spec.name, word), options).has_value(), whole) << word;
    }
    const bool has_range = !describe_range(spec).empty();
    if (!has_range) continue;
    for (const std::uint64_t value : {spec.range.least, spec.range.most}) {
      if (value == OptionRange::kNoLimit) continue;
      const std::string number =
          std::to_string(spec.kind == OptionKind::kTime ? value / 1000 : value);
      MountOptions options;
      EXPECT_TRUE(parse_options(option_text(spec.name, number), options)) << spec.name << number;
      const std::string beyond = value == spec.range.least ? number : number + "1";
      const bool fine = parse_options(option_text(spec.name, beyond), options).has_value();
      EXPECT_EQ(fine, value == spec.range.least) << spec.name << beyond;
    }
  }
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

TEST(Options, ReadOnlyLeavesTheStoreAlone) {
  const auto parsed = [](const std::string& text) {
    return parse_options({GivenOption{.text = text, .origin = std::string(kFromCommandLine)}})
        .value();
  };
  for (const char* text : {"read_only=yes", "read_only=no,read_only=yes"}) {
    const MountOptions options = parsed(std::string("reap=1h,scrub_every=1h,") + text);
    EXPECT_TRUE(options.read_only) << text;
    EXPECT_FALSE(options.reap) << text;
    EXPECT_EQ(options.scrub_every.count(), 0) << text;
    EXPECT_FALSE(options.background_checksums) << text;
    EXPECT_EQ(options.origins.find("read_only")->second, kFromCommandLine) << text;
  }
  for (const char* text : {"read_only=yes,read_only=no", "threads=2"}) {
    const MountOptions options = parsed(std::string("reap=1h,") + text);
    EXPECT_FALSE(options.read_only) << text;
    EXPECT_TRUE(options.reap) << text;
  }
  MountOptions ignored;
  EXPECT_FALSE(parse_options("read_only", ignored));
  EXPECT_FALSE(parse_options("read_only=maybe", ignored));
}

}  // namespace
}  // namespace spillfs::fs
