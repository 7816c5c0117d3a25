// SPDX-License-Identifier: Apache-2.0
#include "fs/system/fair_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace spillfs::fs {
namespace {

std::string all(FairQueue<char>& queue) {
  std::string out;
  while (const auto next = queue.pop()) out += next->second;
  return out;
}

TEST(FairQueue, UsersTakeTurns) {
  FairQueue<char> queue;
  for (char item : std::string("abcd")) queue.push(7, item);
  for (char item : std::string("xy")) queue.push(9, item);
  queue.push(3, '1');
  EXPECT_EQ(queue.count_of(7), 4U);
  EXPECT_EQ(all(queue), "1axbycd");
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.count_of(7), 0U);
}

TEST(FairQueue, WhoComesLaterDoesNotWaitForAllBefore) {
  FairQueue<char> queue;
  for (char item : std::string("abcd")) queue.push(7, item);
  EXPECT_EQ(queue.pop()->second, 'a');
  queue.push(9, 'x');
  EXPECT_EQ(all(queue), "xbcd");
}

TEST(FairQueue, WhatGoesOnComesFirstOfItsUser) {
  FairQueue<char> queue;
  for (char item : std::string("ab")) queue.push(7, item);
  queue.push(9, 'x');
  const auto first = queue.pop();
  queue.push_front(first->first, first->second);
  EXPECT_EQ(all(queue), "xab");
}

TEST(FairQueue, PassesOverUsersWhoMayNot) {
  FairQueue<char> queue;
  queue.push(7, 'a');
  queue.push(9, 'x');
  const auto not_seven = [](uid_t user, char) { return user != 7; };
  EXPECT_EQ(queue.pop_if(not_seven)->first, 9U);
  EXPECT_FALSE(queue.pop_if(not_seven));
  EXPECT_EQ(queue.pop()->second, 'a');
  EXPECT_FALSE(queue.pop());
}

}  // namespace
}  // namespace spillfs::fs
