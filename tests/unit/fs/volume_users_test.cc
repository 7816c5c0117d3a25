// SPDX-License-Identifier: Apache-2.0
// Whom bytes are charged to, and whose turn it is to stop.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fs/passthrough_fixture.h"

namespace spillfs::tests {
namespace {

using fs::IoMode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr std::uint32_t kAlice = 4001;
constexpr std::uint32_t kBob = 4002;

class VolumeUsers : public VolumePassthrough {
 protected:
  void SetUp() override {
    store_ = TestStore(2, 64 * kGiB);  // room for streams that go past the daemon
    limited(256 * kKiB);
  }
  void TearDown() override {
    volume_.reset();
    EXPECT_EQ(store_.problems(), "");
  }

  void limited(std::uint64_t user_quota) { open({.user_quota = user_quota}); }
  fs::Opened create_as(std::uint32_t uid, const std::string& name, int flags = O_WRONLY) {
    return volume_->create(kRootInode, name, 0644, flags | O_CREAT | O_EXCL, {.uid = uid}).value();
  }
  int write_as(std::uint32_t uid, const std::string& name, std::size_t size) {
    const auto made = create_as(uid, name);
    const auto written = volume_->write(made.handle, as_bytes(std::string(size, 'x')), 0);
    close(made);
    return written ? 0 : written.error().code;
  }
  InodeId inode(const std::string& name) {
    return InodeId{volume_->lookup(kRootInode, name)->st_ino};
  }
  std::uint64_t charged(const std::string& name) {
    return store_.index->inode(inode(name))->charged;
  }
  std::uint64_t left(uid_t uid) {
    const struct statvfs found = volume_->statfs(uid).value();
    return found.f_bavail * found.f_frsize;
  }
};

TEST_F(VolumeUsers, OneWhoIsOverTheQuotaStopsAndOthersGoOn) {
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  EXPECT_EQ(write_as(kAlice, "b", 100 * kKiB), EDQUOT);
  EXPECT_EQ(write_as(kAlice, "small", 60 * kKiB), EDQUOT);
  EXPECT_EQ(write_as(kAlice, "smaller", 20 * kKiB), 0) << "fits";
  EXPECT_EQ(write_as(kBob, "c", 200 * kKiB), 0);
  EXPECT_EQ(write_as(0, "root's", 400 * kKiB), 0);
  EXPECT_EQ(left(kBob), 56 * kKiB);
  EXPECT_EQ(volume_->statfs(kBob)->f_blocks, 64U);
  EXPECT_GT(left(0), kMiB);
  const auto grown = reopen(inode("a"), O_RDWR | O_DIRECT);
  const auto allocated = volume_->allocate(grown.handle, 0, 200 * kKiB, 60 * kKiB);
  ASSERT_FALSE(allocated);
  EXPECT_EQ(allocated.error().code, EDQUOT);
  close(grown);
}

TEST_F(VolumeUsers, TheOwnerPaysForWhatOthersWrite) {
  const auto made = create_as(kAlice, "alice's", O_WRONLY);
  write(made, large_, 0);
  close(made);
  EXPECT_THAT(volume_->users(), ElementsAre(Pair(kAlice, charged("alice's"))));
}

TEST_F(VolumeUsers, WhatIsDeletedIsGivenBack) {
  EXPECT_EQ(write_as(kAlice, "small", 20 * kKiB), 0);
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  ASSERT_TRUE(volume_->unlink(kRootInode, "a"));
  EXPECT_EQ(write_as(kAlice, "b", 80 * kKiB), 0) << "before reclaim";
  EXPECT_EQ(write_as(kAlice, "more", 100 * kKiB), fs::kWaitForSpace) << "it has to come first";
  ASSERT_TRUE(volume_->unlink(kRootInode, "more"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(write_as(kAlice, "c", 100 * kKiB), 0);
  ASSERT_TRUE(volume_->unlink(kRootInode, "c"));
  ASSERT_TRUE(volume_->unlink(kRootInode, "b"));
  ASSERT_TRUE(volume_->unlink(kRootInode, "small"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_THAT(volume_->users(), IsEmpty());
  EXPECT_THAT(store_.index->users().value(), ElementsAre(index::UserTotal{kAlice, 0}));
}

TEST_F(VolumeUsers, AnOpenFileCountsUntilItsLastClose) {
  const auto made = create_as(kAlice, "a");
  write(made, large_, 0);
  ASSERT_TRUE(volume_->unlink(kRootInode, "a"));
  EXPECT_THAT(volume_->users(), ElementsAre(Pair(kAlice, testing::Ge(large_.size()))));
  close(made);
  EXPECT_THAT(volume_->users(), IsEmpty());
}

TEST_F(VolumeUsers, TheChargeGoesWithTheOwner) {
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  EXPECT_EQ(write_as(kBob, "b", 100 * kKiB), 0);
  const std::uint64_t both = charged("a") + charged("b");
  ASSERT_TRUE(volume_->set_attributes(inode("a"), {.uid = kBob}));
  EXPECT_THAT(volume_->users(), ElementsAre(Pair(kBob, both))) << "beyond the quota";
  EXPECT_EQ(write_as(kBob, "c", kKiB), EDQUOT);
  EXPECT_EQ(write_as(kAlice, "d", 200 * kKiB), 0);
  const auto open = reopen(inode("a"), O_WRONLY);
  ASSERT_TRUE(volume_->unlink(kRootInode, "a"));
  ASSERT_TRUE(volume_->set_attributes(id(open), {.uid = kAlice}));
  close(open);
  EXPECT_THAT(volume_->users(), ElementsAre(Pair(kAlice, charged("d")), Pair(kBob, charged("b"))));
  ASSERT_TRUE(volume_->reclaim_now());
}

TEST_F(VolumeUsers, ADeadFilesOwnerMayChange) {
  EXPECT_EQ(write_as(kAlice, "a", 100 * kKiB), 0);
  const InodeId dead = inode("a");
  ASSERT_TRUE(volume_->unlink(kRootInode, "a"));
  ASSERT_TRUE(volume_->set_attributes(dead, {.uid = kBob}));
  EXPECT_THAT(volume_->users(), IsEmpty());
  const auto again = reopen(dead, O_RDONLY);
  EXPECT_THAT(volume_->users(), ElementsAre(Pair(kBob, testing::Ge(100 * kKiB))));
  EXPECT_TRUE(volume_->release(again.handle));
  EXPECT_THAT(volume_->users(), IsEmpty());
  ASSERT_TRUE(volume_->reclaim_now());
}

TEST_F(VolumeUsers, ARestartKnowsThem) {
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  EXPECT_EQ(write_as(kBob, "b", 20 * kKiB), 0);
  EXPECT_EQ(write_as(kBob, "gone", 20 * kKiB), 0);
  ASSERT_TRUE(volume_->unlink(kRootInode, "gone"));
  const auto before = volume_->users();
  limited(256 * kKiB);
  EXPECT_EQ(volume_->users(), before);
  EXPECT_EQ(write_as(kAlice, "c", 100 * kKiB), EDQUOT);
  ASSERT_TRUE(volume_->reclaim_now());
}

// The previous version counted nobody, and perhaps it was here between two mounts of this one.
TEST_F(VolumeUsers, AStoreThatDidNotCountThemIsCountedOnce) {
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  EXPECT_EQ(write_as(kBob, "b", 20 * kKiB), 0);
  const auto before = volume_->users();
  volume_.reset();
  const auto rows = store_.index->users().value();
  index::Batch forget;
  for (const auto& [uid, charged] : rows) forget.users.push_back({uid, -charged});
  ASSERT_TRUE(store_.index->commit(forget));
  EXPECT_EQ(store_.problems(), "") << "no damage";
  limited(256 * kKiB);
  EXPECT_EQ(volume_->users(), before);
  EXPECT_EQ(store_.index->users().value(), rows);
}

TEST_F(VolumeUsers, CheckFindsAWrongOne) {
  EXPECT_EQ(write_as(kAlice, "a", 200 * kKiB), 0);
  volume_.reset();
  ASSERT_TRUE(store_.index->commit({.users = {{kAlice, 10}, {kBob, -10}}}));
  EXPECT_THAT(store_.problems(), testing::HasSubstr("of user 4001's bytes -10 are not counted"));
  ASSERT_TRUE(store_.index->commit({.users = {{kAlice, -10}, {kBob, 10}}}));
}

TEST_F(VolumeUsers, NoStreamOfALimitedUserGoesPastTheDaemon) {
  for (const char* name : {"one", "two"}) EXPECT_EQ(write_as(kAlice, name, 100 * kKiB), 0);
  const auto roots = create_as(0, "root's");
  EXPECT_EQ(roots.mode, IoMode::kPassthrough) << "it will be large";
  const auto alices = create_as(kAlice, "three");
  EXPECT_EQ(alices.mode, IoMode::kDirect);
  close(roots);
  close(alices);
}

TEST_F(VolumeUsers, WhoIsAtTheQuotaWritesThroughTheDaemon) {
  const auto first = create_as(kAlice, "first", O_RDWR);
  EXPECT_EQ(first.mode, IoMode::kPassthrough);
  kernel_writes(id(first), std::string(300 * kKiB, 'k'), 0);
  close(first);
  EXPECT_EQ(left(kAlice), 0U) << "the kernel asks nobody";
  const auto second = create_as(kAlice, "second", O_RDWR);
  EXPECT_EQ(second.mode, IoMode::kCached);
  const auto refused = volume_->write(second.handle, as_bytes(large_), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EDQUOT);
  close(second);
}

// A write by somebody else ends that, and only who serves the write hears of it.
TEST_F(VolumeUsers, WhatRunsAsItsOwnerIsNotLent) {
  const InodeId made = make("program", large_);
  for (std::uint32_t mode : {04755U, 02755U}) {
    ASSERT_TRUE(volume_->set_attributes(made, {.mode = mode}));
    for (int flags : {O_RDONLY, O_RDWR}) {
      const auto opened = reopen(made, flags);
      EXPECT_EQ(opened.mode, IoMode::kCached);
      close(opened);
    }
  }
}

TEST_F(VolumeUsers, AFileDeeperThanAnyPathIsSealed) {
  InodeId folder = kRootInode;
  for (int depth = 0; depth < 20; ++depth) {
    const auto made = volume_->mkdir(folder, std::string(255, 'd'), 0755, {.uid = kAlice});
    folder = InodeId{made->st_ino};
  }
  const auto made = volume_->create(folder, "file", 0644, O_WRONLY | O_CREAT, {.uid = kAlice});
  write(*made, "deep", 0);
  close(*made);
  EXPECT_EQ(read(id(*made)), "deep");
  EXPECT_EQ(volume_->ray_objects(id(*made))->path, "");
  EXPECT_EQ(store_.index->inode(id(*made))->location.placement, Placement::kFused);
}

TEST_F(VolumeUsers, NamesStayNames) {
  const std::string nul("a\0b", 3);
  for (const std::string& name : {std::string("a/b"), nul}) {
    EXPECT_EQ(volume_->mkdir(kRootInode, name, 0755, {}).error().code, EINVAL);
    EXPECT_EQ(volume_->lookup(kRootInode, name).error().code, ENOENT);
  }
  EXPECT_EQ(volume_->lookup(kRootInode, "..").error().code, ENOENT);
  const InodeId file = make("file", "x");
  EXPECT_EQ(volume_->rename(kRootInode, "file", kRootInode, "a/b", 0).error().code, EINVAL);
  EXPECT_EQ(volume_->link(file, kRootInode, "..").error().code, EEXIST);
  const std::string xattr = "user." + nul;
  EXPECT_EQ(volume_->set_xattr(file, xattr, "v", 0).error().code, EINVAL);
  EXPECT_EQ(volume_->set_xattr(file, "user." + std::string(251, 'x'), "v", 0).error().code, ERANGE);
  EXPECT_TRUE(volume_->set_xattr(file, "user." + std::string(250, 'x'), "v", 0));
}

}  // namespace
}  // namespace spillfs::tests
