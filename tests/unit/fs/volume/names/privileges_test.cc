// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/privileges.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spillfs::fs {
namespace {

std::uint32_t by_member(std::uint32_t mode) {
  return mode_after_change(mode, [] { return true; });
}
std::uint32_t by_other(std::uint32_t mode) {
  return mode_after_change(mode, [] { return false; });
}

TEST(Privileges, SetUidGoesAlways) {
  EXPECT_EQ(by_member(S_IFREG | 04755), S_IFREG | 0755U);
  EXPECT_EQ(by_other(S_IFREG | 04644), S_IFREG | 0644U);
}

TEST(Privileges, SetGidGoesWhereTheGroupMayExecute) {
  EXPECT_EQ(by_member(S_IFREG | 06775), S_IFREG | 0775U);
  EXPECT_EQ(by_other(S_IFREG | 02710), S_IFREG | 0710U);
}

TEST(Privileges, ElseItStaysForMembers) {
  EXPECT_EQ(by_member(S_IFREG | 06765), S_IFREG | 02765U);
  EXPECT_EQ(by_other(S_IFREG | 06765), S_IFREG | 0765U);
}

TEST(Privileges, WhoItIsIsAskedOnlyThen) {
  int asked = 0;
  const auto ask = [&] { return ++asked != 0; };
  for (std::uint32_t mode :
       {S_IFREG | 0777U, S_IFREG | 04777U, S_IFREG | 06770U, S_IFDIR | 02700U}) {
    mode_after_change(mode, ask);
  }
  EXPECT_EQ(asked, 0);
  mode_after_change(S_IFREG | 02666, ask);
  EXPECT_EQ(asked, 1);
}

TEST(Privileges, ADirectoryKeepsThem) {
  EXPECT_EQ(by_other(S_IFDIR | 07777), S_IFDIR | 07777U);
  EXPECT_EQ(by_other(S_IFREG | 01777), S_IFREG | 01777U) << "the sticky bit gives no rights";
}

TEST(Privileges, AProcessIsInItsGroups) {
  const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  const bool is_root = may_keep_privileges(self);
  EXPECT_EQ(is_root, ::geteuid() == 0 && may_keep_set_gid(self, 98765));
  EXPECT_TRUE(may_keep_set_gid(self, ::getegid()));
  EXPECT_FALSE(may_keep_set_gid(0, ::getegid())) << "not known";
  EXPECT_FALSE(may_keep_privileges(0));
}

}  // namespace
}  // namespace spillfs::fs
