// SPDX-License-Identifier: Apache-2.0
// What the kernel writes by itself, and the daemon beside it: bytes, sizes, times, charges, sums.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <utility>

#include "tests/unit/fs/volume/passthrough_fixture.h"

namespace spillfs::tests {
namespace {

using fs::IoMode;

TEST_F(VolumePassthrough, WhatTheKernelWritesShows) {
  const auto opened = create("file", O_RDWR);
  const InodeId inode = id(opened);
  EXPECT_TRUE(volume_->get_attributes(inode)->may_change);
  EXPECT_THAT(kernel_.told, testing::Contains(inode));
  const auto before = stat(inode);
  kernel_writes(inode, large_, 10000);
  const auto after = stat(inode);
  EXPECT_EQ(static_cast<std::size_t>(after.st_size), large_.size() + 10000);
  EXPECT_GE(after.st_blocks * 512, 100 * 1024);
  EXPECT_TRUE(std::pair(after.st_mtim.tv_sec, after.st_mtim.tv_nsec) >
              std::pair(before.st_mtim.tv_sec, before.st_mtim.tv_nsec));
  EXPECT_GE(volume_->status().charged, large_.size());
  EXPECT_EQ(volume_->list(kRootInode, 2, 10)->at(0).attributes.st_size, after.st_size);

  ASSERT_TRUE(volume_->flush(opened.handle));
  EXPECT_EQ(store_.index->inode(inode)->size, large_.size() + 10000) << "flush seals";
  kernel_writes(inode, "end", large_.size() + 10000);
  ASSERT_TRUE(volume_->fsync(opened.handle));
  EXPECT_EQ(store_.index->inode(inode)->size, large_.size() + 10003);
  kernel_writes(inode, "END", large_.size() + 10000);
  ASSERT_TRUE(volume_->release(opened.handle));
  EXPECT_FALSE(volume_->get_attributes(inode)->may_change);
  const std::string all = std::string(10000, '\0') + large_ + "END";
  EXPECT_EQ(read(inode), all);
  open();
  EXPECT_EQ(read(inode), all);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(VolumePassthrough, AMappingsWritesAreTheNextReadersToo) {
  const InodeId inode = make("large", large_);
  EXPECT_TRUE(is_summed(inode));
  const auto opened = reopen(inode, O_RDWR);
  EXPECT_FALSE(is_summed(inode)) << "before anyone writes";
  const auto mapping = backing(inode);
  close(opened);
  ASSERT_TRUE(mapping->write(as_bytes("mapped"), 5000));
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_FALSE(is_summed(inode)) << "a mapping may still write";
  EXPECT_EQ(read(inode), changed(large_, 5000, "mapped"));
  ASSERT_TRUE(mapping->write(as_bytes("MAPPED"), 5000));
  EXPECT_EQ(read(inode), changed(large_, 5000, "MAPPED"));
}

TEST_F(VolumePassthrough, AMappingGoesOnWhenTheFileIsWrittenAnew) {
  for (const bool direct : {false, true}) {
    open({.write_directly = [direct](pid_t) { return direct; }});
    const auto writer = create("file", O_WRONLY);
    write(writer, large_, 0);
    const InodeId inode = id(writer);
    close(writer);
    close(reopen(inode, O_RDWR));
    auto mapping = backing(inode);
    const auto again = reopen(inode, O_WRONLY | O_TRUNC);
    EXPECT_EQ(again.mode, IoMode::kDirect);
    write(again, large_, 0);
    EXPECT_TRUE(kernel_reads(inode) == large_) << "what is mapped";
    close(again);
    ASSERT_TRUE(mapping->write(as_bytes("mapped"), 5000));
    EXPECT_TRUE(read(inode) == changed(large_, 5000, "mapped"));
    mapping.reset();
    ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  }
}

TEST_F(VolumePassthrough, SumsComeBackOnceNobodyCanWrite) {
  const InodeId inode = make("large", large_);
  const auto opened = reopen(inode, O_RDWR);
  kernel_writes(inode, "changed", 5000);
  auto mapping = backing(inode);
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_FALSE(is_summed(inode)) << "it is open";
  close(opened);
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_FALSE(is_summed(inode)) << "it is mapped";
  const auto reader = reopen(inode, O_RDONLY);
  mapping.reset();
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_FALSE(is_summed(inode)) << "a reader has it";
  close(reader);
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_TRUE(is_summed(inode));
  EXPECT_EQ(read(inode), changed(large_, 5000, "changed"));
  kernel_writes(inode, "damaged", 5000);
  volume_->set_kernel({});
  spdlog::set_level(spdlog::level::off);
  EXPECT_THAT(read(inode), testing::HasSubstr("checksum"));
  spdlog::set_level(spdlog::level::info);
}

TEST_F(VolumePassthrough, TheTotalsHearOfWritersThatDoNotClose) {
  const auto opened = create("file", O_RDWR);
  EXPECT_EQ(opened.mode, IoMode::kPassthrough);
  kernel_writes(id(opened), std::string(300 * kKiB, 'x'), 0);
  stat(id(opened));
  EXPECT_GE(volume_->status().charged, 300 * kKiB);
  close(opened);
  ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_EQ(volume_->status().charged, 0U);
}

TEST_F(VolumePassthrough, TheSweepFindsWhatNobodyAsksFor) {
  volume_ = store_.open({.fuse_limit = 32 * kKiB}).value();
  volume_->set_kernel(kernel_.side());
  const auto opened = create("file", O_RDWR);
  kernel_writes(id(opened), large_, 0);
  while (volume_->status().charged < large_.size()) ::usleep(1000);
  close(opened);
}

// A stream keeps blocks and old bytes behind its end until its first seal.
TEST_F(VolumePassthrough, ALentFileEndsWhereItsBytesEnd) {
  make("dead", std::string(200 * kKiB, 'S'));
  ASSERT_TRUE(volume_->unlink(kRootInode, "dead"));
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  const auto writer = create("file", O_WRONLY);
  write(writer, large_, 0);
  const auto both = reopen(id(writer), O_RDWR);
  EXPECT_EQ(both.mode, IoMode::kPassthrough);
  EXPECT_EQ(kernel_reads(id(writer)), large_);
  kernel_writes(id(writer), "K", 300 * kKiB);
  write(writer, "D", 100 * kKiB);
  close(both);
  close(writer);
  EXPECT_EQ(read(id(writer)), large_ + "D" + std::string(200 * kKiB - 1, '\0') + "K");
}

TEST_F(VolumePassthrough, TheDaemonChangesWhatIsLent) {
  const InodeId inode = make("large", large_);
  const auto opened = reopen(inode, O_RDWR);
  kernel_writes(inode, "kernel", 150000);
  std::string all = large_;
  all.resize(150000);
  all += "kernel";
  EXPECT_EQ(volume_->seek(opened.handle, 120000, SEEK_DATA).value(), 147456U);
  EXPECT_EQ(volume_->seek(opened.handle, 150000, SEEK_HOLE).value(), 150006U);
  ASSERT_TRUE(
      volume_->allocate(opened.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192));
  all.replace(4096, 8192, 8192, '\0');
  EXPECT_EQ(kernel_reads(inode), all);
  kernel_writes(inode, "K", 200000);
  ASSERT_TRUE(volume_->allocate(opened.handle, 0, 200000, 100));
  all.resize(200001);
  all[200000] = 'K';
  all.resize(200100);
  EXPECT_EQ(kernel_reads(inode), all);
  ASSERT_TRUE(volume_->set_attributes(inode, {.mode = {}, .size = 170000}));
  all.resize(170000);
  EXPECT_EQ(kernel_reads(inode), all);
  const InodeId source = make("source", "from the source");
  const auto from = reopen(source, O_RDONLY);
  EXPECT_EQ(volume_->copy_range(from.handle, 0, opened.handle, 169995, 100).value(), 15U);
  all.resize(169995);
  all += "from the source";
  EXPECT_EQ(kernel_reads(inode), all);
  kernel_writes(inode, "behind it", 170010);
  all += "behind it";
  const auto to = create("copy", O_WRONLY);
  EXPECT_EQ(volume_->copy_range(opened.handle, 0, to.handle, 0, kMiB).value(), all.size());
  close(from);
  close(to);
  close(opened);
  EXPECT_EQ(read(inode), all);
  EXPECT_EQ(read(id(to)), all);
}

TEST_F(VolumePassthrough, EmptiedWhileItIsLentItIsStillOneFile) {
  for (const bool direct : {false, true}) {
    open({.write_directly = [direct](pid_t) { return direct; }});
    const auto writer = create("file", O_WRONLY);  // through the daemon, for as long as it is open
    const InodeId inode = id(writer);
    write(writer, large_, 0);
    ASSERT_TRUE(volume_->flush(writer.handle));
    const auto reader = reopen(inode, O_RDONLY);
    EXPECT_EQ(reader.mode, IoMode::kPassthrough);
    for (int round = 0; round < 2; ++round) {
      ASSERT_TRUE(volume_->set_attributes(inode, {.mode = {}, .size = 0}));
      EXPECT_EQ(kernel_reads(inode), "");
      write(writer, large_, 0);
      EXPECT_TRUE(kernel_reads(inode) == large_) << "its reader asks nobody";
      write(writer, large_, 100 * kKiB);
      EXPECT_TRUE(kernel_reads(inode) == large_ + large_);
    }
    close(writer);
    close(reader);
    EXPECT_EQ(read(inode), large_ + large_);
    ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  }
}

TEST_F(VolumePassthrough, ALingeringWriterAppendsToWhatIsRead) {
  for (const bool direct : {false, true}) {
    open({.write_directly = [direct](pid_t) { return direct; }});
    const auto writer = create("file", O_WRONLY);
    write(writer, large_, 0);
    ASSERT_TRUE(volume_->flush(writer.handle));  // a duplicate's close
    const auto reader = reopen(id(writer), O_RDONLY);
    EXPECT_EQ(reader.mode, IoMode::kPassthrough);
    std::string all = large_;
    for (int i = 0; i < 4; ++i) {
      const std::string more(60 * kKiB + 5, static_cast<char>('a' + i));
      write(writer, more, all.size());
      all += more;
      EXPECT_TRUE(kernel_reads(id(writer)) == all) << i;
    }
    close(writer);
    close(reader);
    EXPECT_TRUE(read(id(writer)) == all);
    ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  }
}

TEST_F(VolumePassthrough, AFileWithoutNamesIsTheKernelsToo) {
  const auto opened = create("plasma", O_RDWR);
  const InodeId inode = id(opened);
  ASSERT_TRUE(volume_->unlink(kRootInode, "plasma"));
  ASSERT_TRUE(volume_->set_attributes(inode, {.mode = {}, .size = 1000003}));
  ASSERT_TRUE(volume_->allocate(opened.handle, 0, 0, 1000003));
  kernel_writes(inode, "mapped", 999990);
  EXPECT_EQ(stat(inode).st_size, 1000003);
  EXPECT_GE(volume_->status().charged, 1000003U);
  EXPECT_EQ(kernel_reads(inode).substr(999990, 6), "mapped");
  const auto unnamed = volume_->create_unnamed(kRootInode, 0600, O_RDWR, {}).value();
  EXPECT_EQ(unnamed.mode, IoMode::kPassthrough);
  kernel_writes(id(unnamed), large_, 0);
  close(opened);
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_EQ(backing(inode), nullptr);
  EXPECT_EQ(static_cast<std::size_t>(stat(id(unnamed)).st_size), large_.size());
  EXPECT_GE(volume_->status().charged, large_.size());
  ASSERT_TRUE(volume_->link(id(unnamed), kRootInode, "named"));
  close(unnamed);
  EXPECT_EQ(read(id(unnamed)), large_);
  ASSERT_TRUE(volume_->unlink(kRootInode, "named"));
  ASSERT_TRUE(volume_->reclaim_now());
  volume_->sum_now();
  EXPECT_EQ(volume_->status().charged, 0U);
  EXPECT_EQ(volume_->status().dead, 0U);
  EXPECT_EQ(files_in("segments"), 0U);
}

}  // namespace
}  // namespace spillfs::tests
