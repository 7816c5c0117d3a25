// SPDX-License-Identifier: Apache-2.0
#include "storage/data_map.h"

#include <gtest/gtest.h>

#include "storage/memory_device.h"

namespace spillfs::storage {
namespace {

TEST(DataMap, FindsHoles) {
  MemoryDevice device(kGiB);
  const auto file = device.create("segments/1.private").value();
  ASSERT_TRUE(file->resize(std::uint64_t{8} << 40));
  const std::byte byte{1};
  ASSERT_TRUE(file->write({&byte, 1}, 5 * kMiB + 17));
  DataMap data(*file);
  EXPECT_TRUE(data.is_hole(0, kMiB));
  EXPECT_TRUE(data.is_hole(4 * kMiB, kMiB));
  EXPECT_FALSE(data.is_hole(5 * kMiB, kMiB));
  EXPECT_FALSE(data.is_hole(4 * kMiB, 2 * kMiB));
  EXPECT_TRUE(data.is_hole(6 * kMiB, kMiB));
  EXPECT_TRUE(data.is_hole((std::uint64_t{8} << 40) - kMiB, kMiB));
  EXPECT_TRUE(data.is_hole(0, kMiB)) << "in any order";
}

TEST(DataMap, ZerosHaveTheSumOfZeros) {
  for (std::uint64_t length : {std::uint64_t{1}, std::uint64_t{4096}, kMiB}) {
    EXPECT_EQ(sum_of_zeros(length), xxh3(std::vector<std::byte>(length))) << length;
  }
}

}  // namespace
}  // namespace spillfs::storage
