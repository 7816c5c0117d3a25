// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/index_room.h"

#include <gtest/gtest.h>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

TEST(IndexRoom, NoReserveNoFloor) {
  IndexRoom room("/", 0);
  EXPECT_TRUE(room.check());
  EXPECT_TRUE(room.check()) << "also what it remembers";
}

// A file system that has nothing to offer is always full, unless the floor is nothing as well.
TEST(IndexRoom, AFileSystemWithoutBytesHasAFloorOfNothing) {
  IndexRoom room("/proc", 256 * kMiB);
  EXPECT_TRUE(room.check());
}

TEST(IndexRoom, WhatCannotBeToldIsNoHindrance) {
  IndexRoom room("/no/such/place", 256 * kMiB);
  EXPECT_TRUE(room.check());
}

}  // namespace
}  // namespace spillfs::fs
