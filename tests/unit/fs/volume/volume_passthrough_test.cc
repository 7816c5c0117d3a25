// SPDX-License-Identifier: Apache-2.0
// Which files the kernel gets, how, and what becomes of their blocks.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <utility>
#include <vector>

#include "tests/unit/fs/volume/passthrough_fixture.h"

namespace spillfs::tests {
namespace {

using fs::IoMode;

TEST_F(VolumePassthrough, TheFirstOpenDecides) {
  struct Case {
    const char* name;
    int flags;
    IoMode empty, small, large;
  };
  constexpr auto kCached = IoMode::kCached;
  constexpr auto kDirect = IoMode::kDirect;
  constexpr auto kPassed = IoMode::kPassthrough;
  const std::array cases{
      Case{"reader", O_RDONLY, kCached, kCached, kPassed},
      Case{"reader past the cache", O_RDONLY | O_DIRECT, kCached, kCached, kPassed},
      Case{"writer", O_WRONLY, kDirect, kDirect, kDirect},
      Case{"appender", O_WRONLY | O_APPEND, kDirect, kDirect, kDirect},
      Case{"writer past the cache", O_WRONLY | O_DIRECT, kPassed, kDirect, kPassed},
      Case{"both", O_RDWR, kPassed, kCached, kPassed},
  };
  for (const Case& c : cases) {
    for (const auto& [size, mode] :
         {std::pair{0U, c.empty}, {1000U, c.small}, {100000U, c.large}}) {
      const InodeId inode = make("file", std::string(size, 'x'));
      const auto opened = reopen(inode, c.flags);
      EXPECT_EQ(opened.mode, mode) << c.name << ", " << size << " bytes";
      EXPECT_EQ(opened.backing, mode == kPassed ? kernel_.last : 0) << c.name;
      EXPECT_EQ(kernel_.lent.size(), mode == kPassed ? 1U : 0U);
      close(opened);
      EXPECT_TRUE(kernel_.lent.empty());
      ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
    }
  }
}

TEST_F(VolumePassthrough, AKernelWithoutItHasTwoModes) {
  auto side = kernel_.side();
  side.lend = {};
  side.direct_writes = false;
  volume_->set_kernel(std::move(side));
  const InodeId inode = make("large", large_);
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_DIRECT}) {
    const auto opened = reopen(inode, flags);
    EXPECT_EQ(opened.mode, IoMode::kCached);
    EXPECT_TRUE(opened.keep_cache);
    close(opened);
  }
}

TEST_F(VolumePassthrough, EveryOpenHasTheSameNumberUntilTheLastIsGone) {
  const InodeId inode = make("large", large_);
  const auto first = reopen(inode, O_RDONLY);
  std::vector<fs::Opened> more;
  for (int flags : {O_RDWR, O_WRONLY, O_RDONLY, O_WRONLY | O_APPEND, O_WRONLY | O_DIRECT}) {
    more.push_back(reopen(inode, flags));
    EXPECT_EQ(more.back().mode, IoMode::kPassthrough);
    EXPECT_EQ(more.back().backing, first.backing);
  }
  close(first);
  EXPECT_THAT(kernel_.lent, testing::ElementsAre(first.backing));
  for (const auto& opened : more) {
    EXPECT_EQ(kernel_.lent.size(), 1U);
    close(opened);
  }
  EXPECT_TRUE(kernel_.lent.empty());
  const auto again = reopen(inode, O_RDONLY);
  EXPECT_GT(again.backing, first.backing);
  close(again);
}

TEST_F(VolumePassthrough, BesideACachedOpenThereIsNone) {
  const auto writer = create("file", O_WRONLY);
  write(writer, large_, 0);
  const auto reader = reopen(id(writer), O_RDONLY);
  EXPECT_EQ(reader.mode, IoMode::kCached) << "what is not sealed is the daemon's";
  close(writer);
  const auto second = reopen(id(writer), O_RDWR);
  EXPECT_EQ(second.mode, IoMode::kCached);
  EXPECT_TRUE(second.keep_cache) << "the first one's pages";
  close(reader);
  close(second);
  const auto third = reopen(id(writer), O_RDWR);
  EXPECT_EQ(third.mode, IoMode::kPassthrough);
  close(third);
}

TEST_F(VolumePassthrough, NothingIsLentBeforeTheKernelHasADirectOpen) {
  const InodeId inode = make("large", large_);
  const auto writer = reopen(inode, O_WRONLY);
  EXPECT_EQ(writer.mode, IoMode::kDirect);
  const auto early = reopen(inode, O_RDONLY);
  EXPECT_EQ(early.mode, IoMode::kCached)
      << "the kernel may take the writer's answer after this one";
  close(early);
  EXPECT_TRUE(volume_->flush(writer.handle));
  const auto late = reopen(inode, O_RDONLY);
  EXPECT_EQ(late.mode, IoMode::kPassthrough);
  close(late);
  close(writer);
}

TEST_F(VolumePassthrough, WhenTheKernelDoesNotTakeAFileItGoesOnWithout) {
  kernel_.refusal = EPERM;
  const auto both = create("file", O_RDWR);
  EXPECT_EQ(both.mode, IoMode::kCached);
  EXPECT_FALSE(both.keep_cache);
  write(both, large_, 0);
  close(both);
  EXPECT_EQ(read(id(both)), large_);
  kernel_.refusal = 0;
  const auto again = reopen(id(both), O_RDONLY);
  EXPECT_EQ(again.mode, IoMode::kPassthrough);
  close(again);
}

TEST_F(VolumePassthrough, WithoutRoomForASegmentAFileGoesOnWithout) {
  store_ = TestStore(1, kMiB);
  open();
  make("dead", large_);
  ASSERT_TRUE(volume_->unlink(kRootInode, "dead"));  // reclaim has something to give back
  const auto filler = store_.devices[0]->create("filler").value();
  ASSERT_TRUE(filler->allocate(storage::AllocateMode::kExtend, 0,
                               store_.devices[0]->space()->free - 16 * kKiB));
  const auto made = create("file", O_RDWR);
  EXPECT_EQ(made.mode, IoMode::kCached);
  close(made);
}

TEST_F(VolumePassthrough, OnlyBlocksNobodyCanWriteAreRecycled) {
  const auto free_of = [this](InodeId inode, const std::string& name, int flags) {
    close(reopen(inode, flags));
    EXPECT_TRUE(volume_->unlink(kRootInode, name));
    EXPECT_TRUE(volume_->reclaim_now());
    EXPECT_EQ(files_in("segments"), 0U);
    const std::size_t kept = files_in("recycle");
    make("again", large_);  // takes it
    EXPECT_TRUE(volume_->unlink(kRootInode, "again"));
    open();  // empties the pool
    EXPECT_TRUE(volume_->reclaim_now());
    return kept;
  };
  EXPECT_EQ(free_of(make("a", large_), "a", O_RDONLY), 1U);
  EXPECT_EQ(free_of(make("b", large_), "b", O_WRONLY), 1U);
  EXPECT_EQ(free_of(make("c", large_), "c", O_RDWR), 0U) << "it was lent for writing";
  const InodeId old = make("d", large_);
  open();
  EXPECT_EQ(free_of(old, "d", O_WRONLY), 0U) << "an earlier process may have lent it";
  const InodeId unnamed = id(create("e", O_RDWR));
  volume_.reset();
  open();
  EXPECT_EQ(free_of(unnamed, "e", O_RDONLY), 0U);
}

TEST_F(VolumePassthrough, WhatTheKernelHoldsIsNotReclaimed) {
  const InodeId inode = make("large", large_);
  const auto opened = reopen(inode, O_RDONLY);
  close(opened);
  kernel_.held.insert(inode);  // for a mapping
  ASSERT_TRUE(volume_->unlink(kRootInode, "large"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(kernel_reads(inode), large_);
  for (int i = 0; i < 5; ++i) {
    make("other", std::string(100 * kKiB, 'o'));
    ASSERT_TRUE(volume_->unlink(kRootInode, "other"));
    ASSERT_TRUE(volume_->reclaim_now());
  }
  EXPECT_EQ(kernel_reads(inode), large_);
  kernel_.held.clear();
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(backing(inode), nullptr);
}

TEST_F(VolumePassthrough, ALentFileHasBlocksOfItsOwn) {
  const InodeId dead = make("dead", std::string(100 * kKiB, 'S'));
  ASSERT_TRUE(volume_->unlink(kRootInode, "dead"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(backing(dead), nullptr);
  EXPECT_EQ(files_in("recycle"), 1U);
  const auto opened = create("file", O_RDWR);
  EXPECT_EQ(files_in("recycle"), 1U);
  EXPECT_EQ(kernel_reads(id(opened)), "");
  close(opened);
}

}  // namespace
}  // namespace spillfs::tests
