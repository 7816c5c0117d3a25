// SPDX-License-Identifier: Apache-2.0
#include "fs/status/background_text.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <semaphore>

namespace spillfs::tests {
namespace {

using fs::BackgroundText;

TEST(BackgroundText, IsMadeWhenItIsAskedFor) {
  std::atomic<int> count{0};
  std::binary_semaphore made{0};
  BackgroundText text([&] { return "text " + std::to_string(++count); }, [&] { made.release(); });
  EXPECT_EQ(text.take(), nullptr);
  for (int run = 1; run <= 2; ++run) {
    text.ask();
    made.acquire();
    const auto taken = text.take();
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(*taken, "text " + std::to_string(run));
    EXPECT_EQ(text.take(), nullptr) << "once";
  }
  EXPECT_EQ(count, 2);
}

TEST(BackgroundText, WhoAsksDoesNotWait) {
  std::binary_semaphore goes_on{0};
  std::binary_semaphore made{0};
  BackgroundText text(
      [&] {
        goes_on.acquire();
        return std::string("late");
      },
      [&] { made.release(); });
  text.ask();
  EXPECT_EQ(text.take(), nullptr);
  goes_on.release();
  made.acquire();
  EXPECT_EQ(*text.take(), "late");
}

TEST(BackgroundText, IsEmptyWhereThereWasNoMemoryForIt) {
  std::binary_semaphore made{0};
  BackgroundText text([]() -> std::string { throw std::bad_alloc(); }, [&] { made.release(); });
  text.ask();
  made.acquire();
  EXPECT_EQ(*text.take(), "");
}

}  // namespace
}  // namespace spillfs::tests
