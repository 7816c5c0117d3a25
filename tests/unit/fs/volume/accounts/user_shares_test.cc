// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/user_shares.h"

#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

constexpr uid_t kOwner = 4000;
constexpr uid_t kAlice = 4001;
constexpr uid_t kBob = 4002;

TEST(UserShares, NobodyGetsMoreThanAShare) {
  UserShares shares(2, 5, kOwner);
  EXPECT_TRUE(shares.take(kAlice));
  EXPECT_TRUE(shares.has_room(kAlice));
  EXPECT_TRUE(shares.take(kAlice));
  EXPECT_FALSE(shares.has_room(kAlice));
  EXPECT_FALSE(shares.take(kAlice));
  EXPECT_TRUE(shares.take(kBob));
  shares.give_back(kAlice);
  EXPECT_TRUE(shares.take(kAlice));
}

TEST(UserShares, RootAndTheOwnerGetAll) {
  for (uid_t uid : {uid_t{0}, kOwner}) {
    UserShares shares(2, 5, kOwner);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(shares.take(uid));
    EXPECT_FALSE(shares.take(uid));
  }
}

TEST(UserShares, WhatIsRestoredCounts) {
  UserShares shares(2, 5, kOwner);
  for (int i = 0; i < 3; ++i) shares.restore(kAlice);
  shares.give_back(kAlice);
  EXPECT_FALSE(shares.take(kAlice));
  shares.give_back(kAlice);
  EXPECT_TRUE(shares.take(kAlice));
  shares.give_back(kBob);  // who never had any
  EXPECT_TRUE(shares.has_room(kBob));
}

}  // namespace
}  // namespace spillfs::fs
