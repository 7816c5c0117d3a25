// SPDX-License-Identifier: Apache-2.0
#include "storage/external/retry.h"

#include <gtest/gtest.h>

#include "storage/external/s3_client.h"

namespace spillfs::storage::external {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kNoWish{0};

TEST(Retry, EndsAfterItsTries) {
  Retry retry(2, seconds(60));
  EXPECT_EQ(retry.begun(), 1U);
  EXPECT_TRUE(retry.again(kNoWish));
  EXPECT_TRUE(retry.again(kNoWish));
  EXPECT_FALSE(retry.again(kNoWish));
  EXPECT_EQ(retry.begun(), 3U);
  EXPECT_FALSE(Retry(0, seconds(60)).again(kNoWish));
}

TEST(Retry, CountsAnewAfterProgress) {
  Retry retry(1, seconds(60));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(retry.again(kNoWish));
    retry.progressed();
  }
}

TEST(Retry, EndsWithItsBudget) {
  EXPECT_FALSE(Retry(5, milliseconds(0)).again(kNoWish));
  EXPECT_EQ(Retry(5, milliseconds(0)).left(), kNoWish);
  // A wish that does not fit the budget is not waited for.
  EXPECT_FALSE(Retry(5, seconds(20)).again(seconds(30)));
}

TEST(Retry, WaitsAsLongAsItIsAskedTo) {
  Retry retry(1, seconds(60));
  const auto before = Retry::Clock::now();
  EXPECT_TRUE(retry.again(milliseconds(150)));
  EXPECT_GE(Retry::Clock::now() - before, milliseconds(150));
}

TEST(RetryAfter, IsSecondsOrADate) {
  const auto wish = [](const std::string& value) {
    return wished_wait(HttpReply{.headers = {{"retry-after", value}}});
  };
  EXPECT_EQ(wish("3"), seconds(3));
  EXPECT_EQ(wish("100000"), seconds(30));
  EXPECT_EQ(wish("-5"), seconds(0));
  EXPECT_EQ(wish("Fri, 24 May 2013 00:00:00 GMT"), seconds(0));
  EXPECT_EQ(wish("soon"), seconds(0));
  EXPECT_EQ(wished_wait(HttpReply{}), seconds(0));
}

}  // namespace
}  // namespace spillfs::storage::external
