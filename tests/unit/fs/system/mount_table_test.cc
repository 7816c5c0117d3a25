// SPDX-License-Identifier: Apache-2.0
#include "fs/system/mount_table.h"

#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

constexpr const char* kLine =
    "42 27 0:39 / /mnt/a\\040b rw,nosuid shared:7 master:1 - fuse.spillfs /srv/spill "
    "rw,user_id=1000,group_id=100,allow_other";

TEST(MountTable, ReadsALine) {
  const auto entry = parse_mount_line(kLine);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->id, 42U);
  EXPECT_EQ(entry->device, "0:39");
  EXPECT_EQ(entry->root, "/");
  EXPECT_EQ(entry->where, "/mnt/a b");
  EXPECT_EQ(entry->type, kSpillfsType);
  EXPECT_EQ(owner_of(*entry)->user, 1000U);
  EXPECT_EQ(owner_of(*entry)->group, 100U);
}

TEST(MountTable, WhatIsNoLine) {
  for (const char* line :
       {"", "42", "42 27 0:39 / /mnt rw - fuse", "x 27 0:39 / /mnt rw - t s o"}) {
    EXPECT_FALSE(parse_mount_line(line)) << line;
  }
}

// A user chooses source and mountpoint: white space that the kernel does not escape ends no word.
TEST(MountTable, NamesMakeNoWords) {
  const auto by_source = parse_mount_line(
      "42 27 0:39 / /home/u/m rw - fuse.spillfs x\vrw,user_id=0,group_id=0\r "
      "rw,user_id=1000,group_id=100");
  ASSERT_TRUE(by_source);
  EXPECT_EQ(owner_of(*by_source)->user, 1000U);
  const auto by_path = parse_mount_line(
      "42 27 0:39 / /home/u/m\vrw\v-\vfuse.spillfs\vx\vrw,user_id=0,group_id=0 rw - fuse.spillfs x "
      "rw,user_id=1000,group_id=100");
  ASSERT_TRUE(by_path);
  EXPECT_EQ(owner_of(*by_path)->user, 1000U);
  const auto without_source =
      parse_mount_line("42 27 0:39 / /m rw - fuse.spillfs  rw,user_id=1000,group_id=100");
  ASSERT_TRUE(without_source);
  EXPECT_EQ(owner_of(*without_source)->user, 1000U);
}

TEST(MountTable, AFileSystemThatIsNoFuseHasNoOwner) {
  const auto entry = parse_mount_line("21 1 8:1 / / rw - ext4 /dev/sda1 rw");
  ASSERT_TRUE(entry);
  EXPECT_FALSE(owner_of(*entry));
}

TEST(MountTable, HasWhatIsMounted) {
  EXPECT_TRUE(mount_of("/proc/self/status"));
  EXPECT_EQ(mount_of("/proc/self/status")->type, "proc");
}

}  // namespace
}  // namespace spillfs::fs
