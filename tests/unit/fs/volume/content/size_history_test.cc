// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/size_history.h"

#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

constexpr Home kHome{.directory = InodeId{7}, .parent = InodeId{3}};
constexpr Home kSibling{.directory = InodeId{8}, .parent = InodeId{3}};

TEST(SizeHistory, ExpectsWhatTheLastTwoFilesBecame) {
  SizeHistory sizes;
  EXPECT_FALSE(sizes.expects_large(kHome));
  sizes.note(kHome, true);
  EXPECT_FALSE(sizes.expects_large(kHome));
  sizes.note(kHome, true);
  EXPECT_TRUE(sizes.expects_large(kHome));
  sizes.note(kHome, false);
  EXPECT_FALSE(sizes.expects_large(kHome));
}

TEST(SizeHistory, ANewDirectoryIsLikeItsSiblings) {
  SizeHistory sizes;
  sizes.note(kHome, true);
  sizes.note(kHome, true);
  EXPECT_TRUE(sizes.expects_large(kSibling));
  EXPECT_FALSE(sizes.expects_large({.directory = InodeId{3}, .parent = InodeId{1}}));
  EXPECT_FALSE(sizes.expects_large({.directory = InodeId{3}, .parent = InodeId{3}}));  // a root
  sizes.note(kSibling, false);
  EXPECT_FALSE(sizes.expects_large(kSibling));
  EXPECT_TRUE(sizes.expects_large(kHome));
}

TEST(SizeHistory, ForgetsADirectoryWhosePlaceAnotherTakes) {
  SizeHistory sizes;
  sizes.note(kHome, true);
  sizes.note(kHome, true);
  sizes.note({.directory = InodeId{7 + 256}, .parent = InodeId{3 + 256}}, true);
  EXPECT_FALSE(sizes.expects_large(kHome));
}

}  // namespace
}  // namespace spillfs::fs
