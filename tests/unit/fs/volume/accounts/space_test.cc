// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/space.h"

#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

TEST(Space, RefusesWhatTheQuotaDoesNotHold) {
  Space space(100);
  EXPECT_TRUE(space.move(0, 100));
  const auto more = space.move(0, 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ENOSPC);
  EXPECT_EQ(space.charged(), 100U);
}

TEST(Space, DeadBytesTakeAQuarterOnTopUntilReclaimed) {
  Space space(100);
  ASSERT_TRUE(space.move(0, 80));
  space.die(80);
  const auto more = space.move(0, 46);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, EAGAIN);
  EXPECT_TRUE(space.move(0, 45));
  space.reclaimed(80);
  EXPECT_TRUE(space.move(45, 100));
  EXPECT_EQ(space.charged(), 100U);
  EXPECT_EQ(space.dead(), 0U);
}

TEST(Space, ShrinkingNeverFails) {
  Space space(100);
  space.settle(0, 150);
  EXPECT_TRUE(space.move(150, 120));
  EXPECT_EQ(space.charged(), 120U);
}

TEST(Space, NoQuotaNoLimit) {
  Space space(0);
  EXPECT_TRUE(space.move(0, std::uint64_t{1} << 50));
}

}  // namespace
}  // namespace spillfs::fs
