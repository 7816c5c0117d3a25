// SPDX-License-Identifier: Apache-2.0
#include "fs/config/nearest_name.h"

#include <gtest/gtest.h>

#include <array>

namespace spillfs::fs {
namespace {

constexpr std::array<std::string_view, 5> kNames{"quota", "log", "write", "threads", "store"};

TEST(DidYouMean, WhatIsNear) {
  EXPECT_EQ(did_you_mean("quotta", kNames), "; did you mean 'quota'?");
  EXPECT_EQ(did_you_mean("qouta", kNames), "; did you mean 'quota'?");
  EXPECT_EQ(did_you_mean("thraeds", kNames), "; did you mean 'threads'?");
  EXPECT_EQ(did_you_mean("stor", kNames), "; did you mean 'store'?");
}

TEST(DidYouMean, NothingElse) {
  for (const char* name : {"", "ro", "size", "lo", "user", "x"}) {
    EXPECT_EQ(did_you_mean(name, kNames), "") << name;
  }
  EXPECT_EQ(did_you_mean("quota", {}), "");
}

}  // namespace
}  // namespace spillfs::fs
