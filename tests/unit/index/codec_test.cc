// SPDX-License-Identifier: Apache-2.0
#include "index/codec.h"

#include <gtest/gtest.h>

#include <limits>

namespace spillfs::index {
namespace {

constexpr std::uint64_t kLarge = std::uint64_t{1} << 40;

TEST(Codec, KeysSortAsTheirNumbersDo) {
  EXPECT_LT(key_of(255), key_of(256));
  EXPECT_LT(key_of(std::uint64_t{1}, kLarge), key_of(std::uint64_t{2}, std::uint64_t{0}));
  EXPECT_EQ(key_of(0x0102030405060708), "\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(number_in(key_of(std::uint64_t{7}, std::uint64_t{9}), 8).value(), 9U);
  EXPECT_EQ(number_in("short", 0).error().code, EIO);
}

TEST(Codec, CookiesAreNeitherZeroNorNegative) {
  EXPECT_EQ(first_cookie(0), 256U);
  EXPECT_EQ(first_cookie(std::uint64_t{1} << 55), 256U);
  EXPECT_EQ(first_cookie(~std::uint64_t{0}), 0x7fffffffffffff00U);
}

TEST(Codec, ADamagedRowIsAnError) {
  const std::string inode = encode(Inode{.id = InodeId{1}, .text = "name"});
  EXPECT_EQ(decode_inode(InodeId{1}, inode).value().text, "name");
  for (std::size_t n = 0; n < sizeof(InodeRow); ++n) {
    EXPECT_EQ(decode_inode(InodeId{1}, inode.substr(0, n)).error().code, EIO);
  }
  std::string newer = inode;
  newer[0] = kInodeRowVersion + 1;
  EXPECT_EQ(decode_inode(InodeId{1}, newer).error().code, EIO);
  EXPECT_EQ(decode_dentry(256, "short").error().code, EIO);
  EXPECT_EQ(decode_segment(SegmentId{1}, std::string(31, '\0')).error().code, EIO);
  EXPECT_EQ(decode_sums("1234567").error().code, EIO);
  EXPECT_EQ(decode_counters("").error().code, EIO);
  EXPECT_EQ(decode_number("1").error().code, EIO);
}

// What no version 1 writes is not guessed at.
TEST(Codec, ARowWithUnknownValuesIsAnError) {
  const auto inode_with = [](std::size_t offset, char byte) {
    std::string row = encode(Inode{.id = InodeId{1}, .text = "name"});
    row[offset] = byte;
    return decode_inode(InodeId{1}, row);
  };
  EXPECT_TRUE(inode_with(offsetof(InodeRow, flags), 3));
  EXPECT_EQ(inode_with(offsetof(InodeRow, flags), 4).error().code, EIO);
  EXPECT_EQ(inode_with(offsetof(InodeRow, zero), 1).error().code, EIO);
  EXPECT_TRUE(inode_with(offsetof(InodeRow, directory) + 1, 1));
  EXPECT_EQ(inode_with(offsetof(InodeRow, directory) + 2, 1).error().code, EIO);
  const auto segment_with = [](std::size_t offset, char byte) {
    std::string row = encode(Segment{.id = SegmentId{1}});
    row[offset] = byte;
    return decode_segment(SegmentId{1}, row);
  };
  EXPECT_TRUE(segment_with(offsetof(SegmentRow, kind), 2));
  EXPECT_EQ(segment_with(offsetof(SegmentRow, kind), 0).error().code, EIO);
  EXPECT_EQ(segment_with(offsetof(SegmentRow, kind), 3).error().code, EIO);
  EXPECT_EQ(segment_with(offsetof(SegmentRow, zero), 1).error().code, EIO);
}

TEST(Codec, AnInodeOfTheFirstVersionIsOnDisk) {
  std::string row = encode(Inode{.id = InodeId{1}, .sealed_in = Epoch{9}, .text = "name"});
  EXPECT_EQ(decode_inode(InodeId{1}, row).value().sealed_in, Epoch{9});
  row[0] = kRowVersion;
  row.erase(offsetof(InodeRow, sealed_in), sizeof(InodeRow) - offsetof(InodeRow, sealed_in));
  EXPECT_EQ(decode_inode(InodeId{1}, row).value().sealed_in, kOnDisk);
  EXPECT_EQ(decode_inode(InodeId{1}, row).value().text, "name");
}

TEST(Codec, AnInodeOfTheSecondVersionCountsForNoMetadata) {
  std::string row =
      encode(Inode{.id = InodeId{1}, .metadata = 1024, .sealed_in = Epoch{9}, .text = "name"});
  EXPECT_EQ(decode_inode(InodeId{1}, row).value().metadata, 1024U);
  row[0] = 2;
  row.erase(offsetof(InodeRow, metadata), sizeof(std::uint64_t));
  const Inode older = decode_inode(InodeId{1}, row).value();
  EXPECT_EQ(older.metadata, 0U);
  EXPECT_EQ(older.sealed_in, Epoch{9});
  EXPECT_EQ(older.text, "name");
}

TEST(Codec, ASyncMarkIsWhatItWas) {
  const SyncMark mark{.boot = "boot",
                      .epoch = Epoch{7},
                      .synced = Epoch{5},
                      .doubtful = {{Epoch{1}, Epoch{2}}, {Epoch{4}, Epoch{4}}}};
  EXPECT_EQ(decode_sync_mark(encode(mark)).value(), mark);
  for (std::size_t n = 0; n < 56; ++n) {
    EXPECT_EQ(decode_sync_mark(encode(mark).substr(0, n)).error().code, EIO) << n;
  }
}

TEST(Codec, WhatAMarkSaysOfTheBootIsOfItsIdAlone) {
  const SyncMark mark{.boot = "boot", .certain = true, .clock = {.booted = -5, .uptime = 7}};
  SyncMark read{.boot = "boot"};
  ASSERT_TRUE(decode_boot(encode_boot(mark), read));
  EXPECT_EQ(read, mark);
  SyncMark other{.boot = "another"};
  ASSERT_TRUE(decode_boot(encode_boot(mark), other));
  EXPECT_EQ(other, SyncMark{.boot = "another"});
  for (std::size_t n = 0; n < 24; ++n) {
    EXPECT_EQ(decode_boot(encode_boot(mark).substr(0, n), read).error().code, EIO) << n;
  }
}

TEST(Codec, CountersThatDoNotFitAreNotAdded) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  for (const CounterRow& more : {CounterRow{1, 0}, CounterRow{0, -2}}) {
    std::string row = encode(CounterRow{kMost, -kMost});
    EXPECT_FALSE(add_counters(row, encode(more)));
    EXPECT_EQ(row, encode(CounterRow{kMost, -kMost}));
  }
}

TEST(Codec, CountersAddUpAtTheEndOfARow) {
  std::string row = "prefix" + encode(CounterRow{1, -2});
  ASSERT_TRUE(add_counters(row, encode(CounterRow{10, 20})));
  EXPECT_EQ(row, "prefix" + encode(CounterRow{11, 18}));
  EXPECT_FALSE(add_counters(row, "short"));
}

}  // namespace
}  // namespace spillfs::index
