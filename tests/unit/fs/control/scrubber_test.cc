// SPDX-License-Identifier: Apache-2.0
#include "fs/control/scrubber.h"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/damage.h"

namespace spillfs::tests {
namespace {

using namespace std::chrono_literals;

class ScrubberTest : public DamagedStore {
 protected:
  void SetUp() override {
    open();
    write(kRootInode, "small", "small bytes");
    large_ = write(kRootInode, "large", std::string(100 * kKiB, 'l'));
  }
  // The lines of a pass that is asked for, up to its end; the last is first.
  static std::vector<nlohmann::json> ask(fs::Scrubber& scrubber) {
    const auto reader = scrubber.open();
    std::string text;
    std::vector<nlohmann::json> lines;
    for (std::size_t offset = 0;;) {
      std::array<std::byte, 7> part{};  // lines come in pieces
      const std::size_t got = reader->read(part, offset).value();
      offset += got;
      text += as_text(Bytes(part).first(got));
      if (got == 0) std::this_thread::sleep_for(1ms);
      const std::size_t end = text.find('\n');
      if (end == std::string::npos) continue;
      lines.insert(lines.begin(), nlohmann::json::parse(text.substr(0, end)));
      text.erase(0, end + 1);
      if (lines.front().contains("done")) return lines;
    }
  }
  InodeId large_{};
};

TEST_F(ScrubberTest, SaysWhatAPassFinds) {
  fs::Scrubber scrubber(*volume_, {});
  auto lines = ask(scrubber);
  EXPECT_EQ(lines.front()["files"], 2);
  EXPECT_EQ(lines.front()["damaged"], 0);
  EXPECT_EQ(lines.front()["scrubbed_bytes"], 11 + 100 * kKiB);
  flip_in(large_, 77);
  lines = ask(scrubber);
  EXPECT_EQ(lines.front()["damaged"], 1);
  EXPECT_EQ(lines[1]["path"], "/large");
  EXPECT_EQ(lines[1]["inode"], number(large_));
  EXPECT_EQ(lines[1]["offset"], 0);
  EXPECT_EQ(read(large_), "error 5");
  EXPECT_TRUE(scrubber.status().last_full_pass);
  EXPECT_EQ(scrubber.status().bytes, 2 * (11 + 100 * kKiB));
}

TEST_F(ScrubberTest, FindsDamageInTheBackground) {
  flip_in(large_, 77);
  fs::Scrubber scrubber(*volume_, {.rate = kGiB, .first = 0ms, .settled = 0s, .now = nullptr});
  while (!scrubber.status().last_full_pass) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(volume_->status().damaged, 1U);
  EXPECT_EQ(volume_->scrub_position().value(), kNoSegment);
}

TEST_F(ScrubberTest, TheBackgroundLeavesWhatWasJustWrittenAlone) {
  flip_in(large_, 77);
  fs::Scrubber scrubber(*volume_, {.rate = kGiB, .first = 0ms, .now = nullptr});
  while (!scrubber.status().last_full_pass) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(scrubber.status().bytes, 0U);
  EXPECT_EQ(volume_->status().damaged, 0U);
}

TEST_F(ScrubberTest, WhoAsksDoesNotWaitForTheBackground) {
  flip_in(large_, 77);
  fs::Scrubber scrubber(*volume_,
                        {.rate = 1, .first = 0ms, .settled = 0s, .now = nullptr});  // takes a day
  while (scrubber.status().bytes == 0) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(ask(scrubber).front()["damaged"], 1);
}

// A clock that only the test moves; the store is an hour old.
TEST_F(ScrubberTest, SaysHowLongAgoTheOldestBytesWereComparedAcrossRestarts) {
  constexpr std::int64_t kHour = 3600;
  const std::int64_t start = row(kRootInode).born.seconds + kHour;
  std::atomic<std::int64_t> now{start};
  const auto options = [&] {
    return fs::ScrubberOptions{
        .rate = kGiB, .first = 0ms, .every = 24h, .settled = 0s, .now = [&] { return now.load(); }};
  };
  const auto passes = [&](fs::Scrubber& scrubber, std::int64_t at) {
    while (scrubber.status().last_full_pass != at) std::this_thread::sleep_for(1ms);
  };
  {
    fs::Scrubber off(*volume_, {.rate = 0, .now = [&] { return now.load(); }});
    EXPECT_EQ(off.status().oldest_age, kHour) << "nothing was ever compared";
    EXPECT_EQ(off.status().rate, 0U);
    fs::Scrubber scrubber(*volume_, options());
    passes(scrubber, start);
    EXPECT_EQ(scrubber.status().oldest_age, 0);
    EXPECT_EQ(scrubber.status().rate, kGiB);
  }
  open();
  now = start + 23 * kHour;
  fs::Scrubber scrubber(*volume_, options());
  EXPECT_EQ(scrubber.status().oldest_age, 23 * kHour);
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(scrubber.status().last_full_pass) << "not before a day is over";
  now = start + 25 * kHour;
  passes(scrubber, start + 25 * kHour);
  EXPECT_EQ(scrubber.status().oldest_age, 0);
  now = start + 26 * kHour;
  ask(scrubber);
  EXPECT_EQ(scrubber.status().oldest_age, 0) << "a pass that was asked for counts, too";
}

TEST_F(ScrubberTest, GoesAsFastAsTheStoreNeeds) {
  const fs::ScrubberOptions options{.rate = 1, .first = 1h, .every = 60s, .now = nullptr};
  fs::Scrubber scrubber(*volume_, options);
  EXPECT_GE(scrubber.status().rate * 60, 100 * kKiB);
}

TEST_F(ScrubberTest, EndsInTheMiddle) {
  fs::Scrubber scrubber(*volume_, {.rate = 1, .first = 0ms, .settled = 0s, .now = nullptr});
  while (scrubber.status().bytes == 0) std::this_thread::sleep_for(1ms);
}

}  // namespace
}  // namespace spillfs::tests
