// SPDX-License-Identifier: Apache-2.0
#include "fs/system/child_call.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

TEST(ChildCall, ReturnsWhatTheChildDoes) {
  const std::string large(5 * kMiB, 'x');
  EXPECT_EQ(call_in_child({}, [] { return std::string(); }).value(), "");
  EXPECT_EQ(call_in_child({}, [&]() -> Result<std::string> { return large; }).value(), large);
  const auto pid = call_in_child({}, [] { return std::to_string(::getpid()); });
  EXPECT_NE(pid.value(), std::to_string(::getpid()));
}

TEST(ChildCall, ReturnsItsErrors) {
  const auto failed =
      call_in_child({}, []() -> Result<std::string> { return fail(ENOTDIR, "is none"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ENOTDIR);
  EXPECT_EQ(failed.error().context, "is none");
  const auto thrown =
      call_in_child({}, []() -> Result<std::string> { throw std::runtime_error("thrown"); });
  EXPECT_EQ(thrown.error().code, EIO);
  const auto ended = call_in_child({}, []() -> Result<std::string> { ::_exit(0); });
  EXPECT_EQ(ended.error().code, EIO);
}

TEST(ChildCall, WhatHasNoEndIsCutOff) {
  const auto endless = call_in_child({}, [] { return std::string(65 * kMiB, 'x'); });
  EXPECT_EQ(endless.error().code, EFBIG);
}

TEST(ChildCall, TheChildIsAnotherUserForGood) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  const auto who = call_in_child(UserIds{.uid = 4001, .gid = 4002}, []() -> Result<std::string> {
    const bool back = ::setresuid(0, 0, 0) == 0;
    return std::to_string(::getuid()) + " " + std::to_string(::getegid()) + " " +
           std::to_string(::getgroups(0, nullptr)) + (back ? " back" : "");
  });
  EXPECT_EQ(who.value(), "4001 4002 0");
}

}  // namespace
}  // namespace spillfs::fs
