// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/parking.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace spillfs::fs {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

void wait(Parking& parking, Parking::Attempt attempt) {
  parking.wait(std::move(attempt), parking.now());
}

TEST(Parking, RunsWhatItIsGiven) {
  Parking parking(10s);
  std::promise<void> ran;
  parking.run([&ran](Parking::Try) {
    ran.set_value();
    return Parking::Outcome::kAnswered;
  });
  EXPECT_EQ(ran.get_future().wait_for(20s), std::future_status::ready);
}

TEST(Parking, TriesAgainUntilThereIsSpace) {
  Parking parking(60s);
  std::atomic<bool> space{false};
  std::atomic<int> tries{0};
  std::promise<Parking::Try> answered;
  wait(parking, [&](Parking::Try how) {
    ++tries;
    if (!space) return Parking::Outcome::kNeedsSpace;
    answered.set_value(how);
    return Parking::Outcome::kAnswered;
  });
  while (tries < 2) std::this_thread::sleep_for(1ms);
  space = true;
  parking.wake();
  auto answer = answered.get_future();
  ASSERT_EQ(answer.wait_for(20s), std::future_status::ready);
  EXPECT_EQ(answer.get(), Parking::Try::kMayWait);
}

TEST(Parking, PatienceEnds) {
  Parking parking(1ms);
  std::promise<void> last;
  wait(parking, [&](Parking::Try how) {
    if (how != Parking::Try::kLast) return Parking::Outcome::kNeedsSpace;
    last.set_value();
    return Parking::Outcome::kAnswered;
  });
  EXPECT_EQ(last.get_future().wait_for(20s), std::future_status::ready);
}

TEST(Parking, TooManyAreAnsweredAtOnce) {
  std::atomic<std::size_t> answered{0};
  const auto full = [&answered](Parking::Try how) {
    if (how == Parking::Try::kMayWait) return Parking::Outcome::kNeedsSpace;
    ++answered;
    return Parking::Outcome::kAnswered;
  };
  {
    Parking parking(600s);
    for (std::size_t i = 0; i < Parking::kLimit + 10; ++i) wait(parking, full);
  }
  EXPECT_EQ(answered, Parking::kLimit + 10) << "its end answers the rest";
}

TEST(Parking, OneUserDoesNotHaveAllThreads) {
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future();
  Parking parking(60s);
  for (int i = 0; i < 20; ++i) {
    parking.run(
        [ended](Parking::Try) {
          ended.wait();
          return Parking::Outcome::kAnswered;
        },
        1001);
  }
  std::promise<void> ran;
  parking.run(
      [&ran](Parking::Try) {
        ran.set_value();
        return Parking::Outcome::kAnswered;
      },
      1002);
  EXPECT_EQ(ran.get_future().wait_for(20s), std::future_status::ready);
  end.set_value();
}

TEST(Parking, OneUserDoesNotHaveAllPlaces) {
  std::atomic<int> last{0};
  const auto never = [&last](Parking::Try how) {
    if (how == Parking::Try::kMayWait) return Parking::Outcome::kNeedsSpace;
    ++last;
    return Parking::Outcome::kAnswered;
  };
  Parking parking(600s);
  for (std::size_t i = 0; i < Parking::kLimit; ++i) parking.wait(never, parking.now(), 1001);
  const int before = last;
  EXPECT_GE(before, 1);
  parking.wait(never, parking.now(), 1002);
  EXPECT_EQ(last, before);
}

// Its threads may be anywhere on their way to wait when it ends. (A lost wake-up hangs here.)
TEST(Parking, EndsWheneverItIs) {
  for (int i = 0; i < 10000; ++i) Parking parking(10s);
}

}  // namespace
}  // namespace spillfs::fs
