// SPDX-License-Identifier: Apache-2.0
#include "storage/base/slow_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <sstream>

namespace spillfs {
namespace {

// The log, for as long as it lives.
class Captured {
 public:
  Captured() { spdlog::default_logger()->sinks() = {sink_}; }
  ~Captured() { spdlog::default_logger()->sinks() = std::move(before_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  const std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_ =
      std::make_shared<spdlog::sinks::ostream_sink_mt>(text_);
  std::vector<spdlog::sink_ptr> before_ = spdlog::default_logger()->sinks();
};

TEST(SlowWatch, TellsEachOnceWhileItRuns) {
  const Captured log;
  {
    SlowWatch watch(std::chrono::milliseconds(10));
    const SlowWatch::Operation other(&watch, "WRITE", "", 42);
    std::optional<SlowWatch::Operation> slow;
    slow.emplace(&watch, "read", "segments/7.fused");
    while (watch.count() < 2) std::this_thread::yield();
    EXPECT_EQ(watch.late_requests(), 1U) << "the read is a part of one";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    slow.reset();
    EXPECT_EQ(watch.count(), 2U);
  }
  const std::string text = log.text();
  EXPECT_THAT(text, testing::HasSubstr("slow: read of segments/7.fused takes more than 10 ms"));
  EXPECT_THAT(text, testing::HasSubstr("slow: WRITE of inode 42 takes more than 10 ms"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(SlowWatch, SaysNothingOfQuickOnes) {
  const Captured log;
  {
    SlowWatch watch(std::chrono::hours(1));
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&watch] {
        for (int n = 0; n < 1000; ++n) {
          const SlowWatch::Operation outer(&watch, "WRITE", "", 1);
          const SlowWatch::Operation inner(&watch, "write", "segments/1.private");
        }
      });
    }
    threads.clear();
    EXPECT_EQ(watch.count(), 0U);
    EXPECT_EQ(watch.late_requests(), 0U);
  }
  EXPECT_EQ(log.text(), "");
}

TEST(SlowWatch, IsStuckInWhatWaitsForNoDisk) {
  constexpr std::chrono::milliseconds kNone{0};
  SlowWatch watch(std::chrono::hours(1));
  EXPECT_FALSE(watch.stuck(kNone));
  const SlowWatch::Operation request(&watch, "WRITE", "", 42);
  EXPECT_FALSE(watch.stuck(std::chrono::hours(1)));
  EXPECT_TRUE(watch.stuck(kNone));
  {
    const SlowWatch::Operation disk(&watch, "write", "segments/1.private");
    EXPECT_FALSE(watch.stuck(kNone));
  }
  EXPECT_TRUE(watch.stuck(kNone));
}

TEST(SlowWatch, IsNotNeeded) { const SlowWatch::Operation none(nullptr, "read", "x"); }

}  // namespace
}  // namespace spillfs
