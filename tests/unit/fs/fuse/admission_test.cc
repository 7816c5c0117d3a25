// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/admission.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace spillfs::fs {
namespace {

constexpr uid_t kA = 1, kB = 2, kC = 3, kTrusted = 4;

bool admit(Admission& admission, uid_t user, std::string_view request = "r") {
  return admission.admit(user, as_bytes(request));
}

std::string kept(const std::optional<Admission::Request>& request) {
  return request ? std::string(as_text(request->bytes)) : "nothing";
}

TEST(Admission, OneUserHasHalfOfTheThreads) {
  Admission admission(8, kTrusted);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(admit(admission, kA));
  EXPECT_FALSE(admit(admission, kA));
}

TEST(Admission, EachFurtherUserHasHalfOfTheRest) {
  Admission admission(8, kTrusted);
  for (int i = 0; i < 5; ++i) admit(admission, kA);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(admit(admission, kB));
  EXPECT_FALSE(admit(admission, kB));
  EXPECT_TRUE(admit(admission, kC));
  EXPECT_FALSE(admit(admission, kC));
}

TEST(Admission, RootAndTheDaemonsOwnerMayHaveAllThreads) {
  Admission admission(4, kTrusted);
  EXPECT_TRUE(admit(admission, kTrusted));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(admit(admission, 0));
  EXPECT_FALSE(admit(admission, kA, "a"));
  EXPECT_EQ(kept(admission.served(0)), "a");
}

TEST(Admission, OneThreadServesEveryone) {
  Admission admission(1, kTrusted);
  EXPECT_TRUE(admit(admission, kA));
  EXPECT_FALSE(admit(admission, kB, "b"));
  EXPECT_EQ(kept(admission.served(kA)), "b");
  EXPECT_EQ(kept(admission.served(kB)), "nothing");
  EXPECT_TRUE(admit(admission, kA));
}

TEST(Admission, WhatIsKeptComesInOrder) {
  Admission admission(2, kTrusted);
  EXPECT_TRUE(admit(admission, kA));
  EXPECT_FALSE(admit(admission, kA, "a1"));
  EXPECT_FALSE(admit(admission, kA, "a2"));
  EXPECT_TRUE(admit(admission, kB));
  EXPECT_FALSE(admit(admission, kB, "b1"));
  EXPECT_EQ(kept(admission.served(kB)), "b1") << "the other user has its thread";
  EXPECT_EQ(kept(admission.served(kA)), "a1");
  EXPECT_EQ(kept(admission.served(kA)), "a2");
}

TEST(Admission, ANewRequestDoesNotPassAKeptOne) {
  Admission admission(4, kTrusted);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(admit(admission, kA));
  EXPECT_TRUE(admit(admission, kB));
  EXPECT_FALSE(admit(admission, kA, "a1"));
  EXPECT_EQ(kept(admission.served(kB)), "nothing") << "two of four are busy, both the user's";
  EXPECT_FALSE(admit(admission, kA, "a2"));
  EXPECT_EQ(kept(admission.served(kA)), "a1");
  EXPECT_EQ(kept(admission.served(kA)), "a2");
}

TEST(Admission, WhatIsTooMuchToKeepIsServed) {
  Admission admission(2, kTrusted);
  const std::vector<std::byte> large(Admission::kKeptOfUser / 2);
  EXPECT_TRUE(admission.admit(kA, large));
  EXPECT_FALSE(admission.admit(kA, large));
  EXPECT_FALSE(admission.admit(kA, large));
  EXPECT_TRUE(admission.admit(kA, large));
  EXPECT_FALSE(admission.served(kA).has_value()) << "the user has one of two threads";
  EXPECT_TRUE(admission.served(kA).has_value());
}

TEST(Admission, EveryRequestIsServedOnce) {
  constexpr unsigned kThreads = 6;
  constexpr int kRequests = 3000;
  Admission admission(kThreads, kTrusted);
  std::atomic<int> served{0};
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, user = static_cast<uid_t>(1 + i % 2)] {
      for (int request = 0; request < kRequests; ++request) {
        if (!admit(admission, user)) continue;
        ++served;
        for (auto next = admission.served(user); next; next = admission.served(next->user)) {
          ++served;
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(served, kThreads * kRequests);
}

}  // namespace
}  // namespace spillfs::fs
