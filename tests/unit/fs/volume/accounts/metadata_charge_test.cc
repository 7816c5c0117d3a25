// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/metadata_charge.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace spillfs::fs {
namespace {

constexpr uid_t kOwner = 4000;
constexpr uid_t kAlice = 4001;

class MetadataCharges : public testing::Test {
 protected:
  Space space_{5000};
  UserSpace users_{2000, kOwner};
};

TEST_F(MetadataCharges, WhatIsNotKeptIsGivenBack) {
  {
    const auto charge = MetadataCharge::take(users_, space_, kAlice, 0, 1500);
    ASSERT_TRUE(charge);
    EXPECT_EQ(users_.left(kAlice), 500U);
    EXPECT_EQ(space_.charged(), 1500U);
    EXPECT_EQ(MetadataCharge::take(users_, space_, kAlice, 0, 501).error().code, EDQUOT);
  }
  EXPECT_EQ(users_.left(kAlice), 2000U);
  EXPECT_EQ(space_.charged(), 0U);
}

TEST_F(MetadataCharges, WhatIsKeptStays) {
  auto charge = MetadataCharge::take(users_, space_, kAlice, 0, 1500);
  charge->keep();
  auto moved = std::move(*charge);
  moved.keep();
  EXPECT_EQ(users_.left(kAlice), 500U);
}

TEST_F(MetadataCharges, WhatShrinksIsGivenBackWhenItIsKept) {
  MetadataCharge::take(users_, space_, kAlice, 0, 1500)->keep();
  {
    const auto failed = MetadataCharge::take(users_, space_, kAlice, 1500, 500);
    EXPECT_EQ(users_.left(kAlice), 500U);
  }
  EXPECT_EQ(users_.left(kAlice), 500U);
  MetadataCharge::take(users_, space_, kAlice, 1500, 500)->keep();
  EXPECT_EQ(users_.left(kAlice), 1500U);
  EXPECT_EQ(space_.charged(), 500U);
}

TEST_F(MetadataCharges, WhatTheStoreRefusesTheUserDoesNotPay) {
  EXPECT_EQ(MetadataCharge::take(users_, space_, 0, 0, 5001).error().code, ENOSPC);
  EXPECT_TRUE(users_.charged().empty());
}

TEST(MetadataCharge, NeverFallsBelowNothing) {
  EXPECT_EQ(changed_charge(100, 50, 20), 130U);
  EXPECT_EQ(changed_charge(0, 0, 512), 0U);
  EXPECT_EQ(changed_charge(512, 1024, 66000), 0U);
}

TEST(MetadataCharge, TextsCountInSteps) {
  EXPECT_EQ(inode_charge({.mode = S_IFREG, .text = std::string(255, 'n')}), 512U);
  EXPECT_EQ(inode_charge({.mode = S_IFLNK, .text = std::string(513, 't')}), 512U + 1024);
  EXPECT_EQ(xattr_charge("user.x", 0), 1024U);
  EXPECT_EQ(xattr_charge("user.x", 65536), 512U + 66048);
}

}  // namespace
}  // namespace spillfs::fs
