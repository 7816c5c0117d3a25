// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/user_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

constexpr uid_t kOwner = 4000;
constexpr uid_t kAlice = 4001;
constexpr uid_t kBob = 4002;

TEST(UserSpace, RefusesWhatOneUsersQuotaDoesNotHold) {
  UserSpace space(100, kOwner);
  EXPECT_TRUE(space.move(kAlice, 0, 100));
  const auto more = space.move(kAlice, 0, 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, EDQUOT);
  EXPECT_TRUE(space.move(kBob, 0, 60)) << "another's";
  EXPECT_EQ(space.left(kAlice), 0U);
  EXPECT_EQ(space.left(kBob), 40U);
  EXPECT_TRUE(space.move(kAlice, 100, 70));
  EXPECT_TRUE(space.move(kAlice, 70, 100));
}

TEST(UserSpace, RootAndTheOwnerHaveNone) {
  UserSpace space(100, kOwner);
  for (uid_t uid : {uid_t{0}, kOwner}) {
    EXPECT_TRUE(space.move(uid, 0, 1000));
    EXPECT_EQ(space.left(uid), std::nullopt);
    EXPECT_FALSE(space.limits(uid));
  }
  EXPECT_THAT(space.charged(),
              testing::UnorderedElementsAre(testing::Pair(0, 1000), testing::Pair(kOwner, 1000)));
}

TEST(UserSpace, WhatHasHappenedIsCountedBeyondTheQuota) {
  UserSpace space(100, kOwner);
  space.settle(kAlice, 0, 150);
  EXPECT_EQ(space.left(kAlice), 0U);
  EXPECT_TRUE(space.move(kAlice, 150, 120)) << "shrinking never fails";
  EXPECT_FALSE(space.move(kAlice, 120, 121));
  space.settle(kAlice, 120, 0);
  EXPECT_TRUE(space.charged().empty());
}

TEST(UserSpace, DeadBytesTakeAQuarterOnTopUntilTheyAreGone) {
  UserSpace space(100, kOwner);
  ASSERT_TRUE(space.move(kAlice, 0, 80));
  space.die(kAlice, 80);
  EXPECT_EQ(space.left(kAlice), 100U);
  EXPECT_EQ(space.move(kAlice, 0, 46).error().code, EAGAIN);
  EXPECT_TRUE(space.move(kAlice, 0, 45));
  EXPECT_TRUE(space.move(kBob, 0, 100)) << "another's";
  space.gone(kAlice, 50);
  EXPECT_TRUE(space.move(kAlice, 45, 70));
  space.revive(kAlice, 30);
  EXPECT_EQ(space.left(kAlice), 0U);
}

TEST(UserSpace, WithoutAQuotaItOnlyCounts) {
  UserSpace space(0, kOwner);
  EXPECT_TRUE(space.move(kAlice, 0, std::uint64_t{1} << 50));
  EXPECT_EQ(space.left(kAlice), std::nullopt);
  EXPECT_THAT(space.charged(), testing::ElementsAre(testing::Pair(kAlice, std::uint64_t{1} << 50)));
}

}  // namespace
}  // namespace spillfs::fs
