// SPDX-License-Identifier: Apache-2.0
// Files that the kernel reads and writes by itself. The test does its part: it writes to the
// backing file and says nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/support/fake_kernel.h"

namespace spillfs::tests {
namespace {

using fs::IoMode;

constexpr int kNewFile = O_CREAT | O_EXCL;

std::string changed(std::string text, std::size_t offset, std::string_view to) {
  std::copy(to.begin(), to.end(), text.begin() + static_cast<std::ptrdiff_t>(offset));
  return text;
}

class VolumePassthrough : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(fs::VolumeOptions options = {}) {
    options.fuse_limit = 32 * kKiB;
    options.reclaim_in_background = false;
    volume_.reset();
    volume_ = store_.open(std::move(options)).value();
    volume_->set_kernel(kernel_.side());
  }
  fs::Opened create(const std::string& name, int flags) {
    return volume_->create(kRootInode, name, 0644, flags | kNewFile, {}).value();
  }
  fs::Opened reopen(InodeId inode, int flags) { return volume_->open_file(inode, flags).value(); }
  static InodeId id(const fs::Opened& opened) { return InodeId{opened.attributes.st_ino}; }
  void write(const fs::Opened& to, const std::string& text, std::uint64_t offset) {
    ASSERT_TRUE(volume_->write(to.handle, as_bytes(text), offset));
  }
  void close(const fs::Opened& opened) {
    EXPECT_TRUE(volume_->flush(opened.handle));
    EXPECT_TRUE(volume_->release(opened.handle));
  }
  InodeId make(const std::string& name, const std::string& text) {
    const auto made = create(name, O_WRONLY);
    write(made, text, 0);
    close(made);
    return id(made);
  }
  // What the daemon reads.
  std::string read(InodeId inode) {
    const auto opened = volume_->open_file(inode, O_RDONLY);
    if (!opened) return describe(opened.error());
    std::string text(static_cast<std::size_t>(opened->attributes.st_size) + 1, '?');
    const auto got = volume_->read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
    EXPECT_TRUE(volume_->release(opened->handle));
    return got ? text.substr(0, *got) : describe(got.error());
  }
  std::shared_ptr<storage::File> backing(InodeId inode) { return backing_file(store_, inode); }
  // What the kernel does for a passthrough write, and for a mapping's pages.
  void kernel_writes(InodeId inode, const std::string& text, std::uint64_t offset) {
    ASSERT_TRUE(backing(inode)->write(as_bytes(text), offset));
  }
  std::string kernel_reads(InodeId inode) {
    const auto file = backing(inode);
    std::string text(file->status()->size, '?');
    EXPECT_TRUE(file->read(std::as_writable_bytes(std::span(text)), 0));
    return text;
  }
  struct stat stat(InodeId inode) {
    return volume_->get_attributes(inode).value();
  }
  bool is_summed(InodeId inode) { return store_.index->inode(inode)->sums_valid; }
  std::size_t files_in(const std::string& folder) {
    std::size_t count = 0;
    for (auto& device : store_.devices) count += device->list(folder)->size();
    return count;
  }

  const std::string large_ = std::string(100 * kKiB, 'L');
  TestStore store_;
  FakeKernel kernel_;
  std::unique_ptr<fs::Volume> volume_;
};

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
  EXPECT_FALSE(is_summed(inode)) << "it is open";
  close(opened);
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_FALSE(is_summed(inode)) << "it is mapped";
  const auto reader = reopen(inode, O_RDONLY);
  mapping.reset();
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_FALSE(is_summed(inode)) << "a reader has it";
  close(reader);
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_TRUE(is_summed(inode));
  EXPECT_EQ(read(inode), changed(large_, 5000, "changed"));
  kernel_writes(inode, "damaged", 5000);
  volume_->set_kernel({});
  spdlog::set_level(spdlog::level::off);
  EXPECT_THAT(read(inode), testing::HasSubstr("checksum"));
  spdlog::set_level(spdlog::level::info);
}

TEST_F(VolumePassthrough, TheQuotaHearsOfWritersThatDoNotClose) {
  open({.quota = 256 * kKiB});
  const auto opened = create("file", O_RDWR);
  kernel_writes(id(opened), std::string(300 * kKiB, 'x'), 0);
  stat(id(opened));
  EXPECT_GE(volume_->status().charged, 300 * kKiB);
  EXPECT_EQ(volume_->statfs()->f_bavail, 0U);
  const auto other = create("other", O_WRONLY);
  EXPECT_EQ(volume_->write(other.handle, as_bytes(large_), 0).error().code, ENOSPC);
  close(other);
  close(opened);
  ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  ASSERT_TRUE(volume_->reclaim_now());
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

// A stream keeps blocks and old bytes behind its end until its first seal.
TEST_F(VolumePassthrough, ALentFileEndsWhereItsBytesEnd) {
  make("dead", std::string(200 * kKiB, 'S'));
  ASSERT_TRUE(volume_->unlink(kRootInode, "dead"));
  ASSERT_TRUE(volume_->reclaim_now());
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
  EXPECT_EQ(backing(inode), nullptr);
  EXPECT_EQ(static_cast<std::size_t>(stat(id(unnamed)).st_size), large_.size());
  EXPECT_GE(volume_->status().charged, large_.size());
  ASSERT_TRUE(volume_->link(id(unnamed), kRootInode, "named"));
  close(unnamed);
  EXPECT_EQ(read(id(unnamed)), large_);
  ASSERT_TRUE(volume_->unlink(kRootInode, "named"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(volume_->status().charged, 0U);
  EXPECT_EQ(volume_->status().dead, 0U);
  EXPECT_EQ(files_in("segments"), 0U);
}

}  // namespace
}  // namespace spillfs::tests
