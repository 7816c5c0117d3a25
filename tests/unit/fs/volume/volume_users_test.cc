// SPDX-License-Identifier: Apache-2.0
// Whom bytes are charged to, and whose turn it is to stop.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fs/volume/passthrough_fixture.h"

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
    const auto made =
        volume_->create(kRootInode, name, 0644, O_WRONLY | O_CREAT | O_EXCL, {.uid = uid});
    if (!made) return made.error().code;
    const auto written = volume_->write(made->handle, as_bytes(std::string(size, 'x')), 0);
    close(*made);
    return written ? 0 : written.error().code;
  }
  InodeId inode(const std::string& name) {
    return InodeId{volume_->lookup(kRootInode, name)->st_ino};
  }
  std::uint64_t charged(const std::string& name) {
    const index::Inode found = store_.index->inode(inode(name)).value();
    return found.charged + found.metadata;
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
  EXPECT_EQ(left(kBob), 52 * kKiB) << "whole blocks, without its name's KiB";
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
  for (const auto& [uid, charged, metadata] : rows) {
    forget.users.push_back({uid, -charged, -metadata});
  }
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

TEST_F(VolumeUsers, AWriterWithAQuotaWritesThroughTheDaemon) {
  const auto roots = create_as(0, "root's", O_RDWR);
  EXPECT_EQ(roots.mode, IoMode::kPassthrough);
  close(roots);
  for (int flags : {O_RDWR, O_RDWR | O_DIRECT}) {
    const auto made = create_as(kAlice, "alice's" + std::to_string(flags), flags);
    EXPECT_EQ(made.mode, IoMode::kCached);
    const auto refused = volume_->write(made.handle, as_bytes(std::string(300 * kKiB, 'k')), 0);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EDQUOT);
    close(made);
  }
}

// What the kernel lends to readers a writer can't have otherwise; it adds nothing by a mapping.
TEST_F(VolumeUsers, BesideReadersAWriterWithAQuotaOnlyMapsTheFile) {
  EXPECT_EQ(write_as(kAlice, "file", 100 * kKiB), 0);
  const auto reader = reopen(inode("file"), O_RDONLY);
  EXPECT_EQ(reader.mode, IoMode::kPassthrough);
  const auto writer = volume_->open_file(inode("file"), O_RDWR, {.uid = kAlice}).value();
  EXPECT_EQ(writer.mode, IoMode::kMapped);
  EXPECT_EQ(writer.backing, reader.backing);
  const auto punched =
      volume_->allocate(writer.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8 * kKiB);
  EXPECT_EQ(punched.error().code, EOPNOTSUPP);
  ASSERT_TRUE(volume_->set_attributes(id(writer), {.size = 150 * kKiB}));
  write(writer, "far", 199 * kKiB);
  EXPECT_GE(backing(id(writer))->status()->allocated, 200 * kKiB) << "no holes";
  EXPECT_EQ(volume_->set_attributes(id(writer), {.size = 300 * kKiB}).error().code, EDQUOT);
  EXPECT_EQ(volume_->write(writer.handle, as_bytes(large_), 300 * kKiB).error().code, EDQUOT);
  kernel_writes(id(writer), "mapped", 1000);
  close(writer);
  EXPECT_TRUE(volume_->release(reader.handle));
  EXPECT_EQ(read(id(writer)).substr(1000, 6), "mapped");
}

TEST_F(VolumeUsers, ASparseFileIsNotLentToReaders) {
  const auto made = create_as(kAlice, "sparse");
  write(made, large_, 0);
  write(made, "far", 4 * kMiB);
  close(made);
  EXPECT_EQ(reopen(id(made), O_RDONLY).mode, IoMode::kCached);
}

// Nothing that is made without a byte is free.
TEST_F(VolumeUsers, NamesAndXattrsCount) {
  const auto users = [&] { return volume_->users()[kAlice]; };
  const fs::Caller alice{.uid = kAlice};
  const InodeId folder{volume_->mkdir(kRootInode, "folder", 0755, alice)->st_ino};
  EXPECT_EQ(users(), 1024U);
  EXPECT_TRUE(volume_->symlink(folder, "link", std::string(1000, 't'), alice));
  EXPECT_EQ(users(), 1024U + 1024 + 1024);
  const auto file = volume_->create(folder, "file", 0644, O_WRONLY | O_CREAT, alice).value();
  close(file);
  EXPECT_EQ(users(), 4U * 1024);
  EXPECT_TRUE(volume_->link(id(file), folder, "again", alice));
  EXPECT_EQ(volume_->link(id(file), folder, "bob's", {.uid = kBob}).error().code, EPERM);
  EXPECT_EQ(users(), 4U * 1024 + 512);
  EXPECT_TRUE(volume_->set_xattr(id(file), "user.x", std::string(2000, 'v'), 0));
  EXPECT_EQ(users(), 4U * 1024 + 512 + 512 + 2048);
  EXPECT_TRUE(volume_->set_xattr(id(file), "user.x", "short", 0));
  EXPECT_EQ(users(), 4U * 1024 + 512 + 512 + 512);
  EXPECT_TRUE(volume_->rename(folder, "again", folder, "link", 0));
  EXPECT_EQ(users(), 1024U + 1024 + 512 + 1024) << "the symlink is dead, and its name gone";
  ASSERT_TRUE(volume_->set_attributes(id(file), {.uid = kBob}));
  EXPECT_EQ(users(), 1024U);
  limited(256 * kKiB);
  EXPECT_EQ(users(), 1024U);
  EXPECT_TRUE(volume_->remove_xattr(id(file), "user.x"));
  EXPECT_TRUE(volume_->unlink(folder, "file"));
  EXPECT_TRUE(volume_->unlink(folder, "link"));
  EXPECT_TRUE(volume_->rmdir(kRootInode, "folder"));
  EXPECT_THAT(volume_->users(), IsEmpty());
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(volume_->status().charged, 0U);
  EXPECT_EQ(volume_->status().dead, 0U);
}

TEST_F(VolumeUsers, NamesStopAtTheQuota) {
  limited(10 * kKiB);
  const fs::Caller alice{.uid = kAlice};
  const auto name = [](int number) { return "name" + std::to_string(number); };
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(volume_->mkdir(kRootInode, name(i), 0755, alice)) << i;
  EXPECT_EQ(volume_->mkdir(kRootInode, "more", 0755, alice).error().code, EDQUOT);
  EXPECT_EQ(volume_->symlink(kRootInode, "more", "x", alice).error().code, EDQUOT);
  EXPECT_EQ(volume_->create_unnamed(kRootInode, 0644, O_RDWR, alice).error().code, EDQUOT);
  EXPECT_EQ(volume_->set_xattr(inode("name0"), "user.x", "v", 0).error().code, EDQUOT);
  EXPECT_TRUE(volume_->mkdir(kRootInode, "bob's", 0755, {.uid = kBob}));
  ASSERT_TRUE(volume_->rmdir(kRootInode, "name0"));
  EXPECT_TRUE(volume_->mkdir(kRootInode, "more", 0755, alice)) << "before reclaim";
  open({.quota = 11 * kKiB});
  EXPECT_EQ(volume_->mkdir(kRootInode, "others", 0755, {.uid = kBob}).error().code, ENOSPC);
  ASSERT_TRUE(volume_->rmdir(kRootInode, "name1"));
  EXPECT_TRUE(volume_->mkdir(kRootInode, "others", 0755, {.uid = kBob}));
}

// What an earlier version made was not charged, and is not given back.
TEST_F(VolumeUsers, NamesOfEarlierVersionsAreFree) {
  const fs::Caller alice{.uid = kAlice};
  ASSERT_TRUE(volume_->mkdir(kRootInode, "old", 0755, alice));
  index::Inode old = store_.index->inode(inode("old")).value();
  volume_.reset();
  index::Batch batch{.users = {{kAlice, 0, -static_cast<std::int64_t>(old.metadata)}}};
  old.metadata = 0;
  batch.put_inodes = {old};
  ASSERT_TRUE(store_.index->commit(batch));
  limited(256 * kKiB);
  EXPECT_THAT(volume_->users(), IsEmpty());
  ASSERT_TRUE(volume_->set_xattr(inode("old"), "user.x", "v", 0));
  EXPECT_EQ(volume_->users()[kAlice], 1024U);
  ASSERT_TRUE(volume_->rmdir(kRootInode, "old"));
  EXPECT_THAT(volume_->users(), IsEmpty());
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_THAT(store_.index->users().value(), ElementsAre(index::UserTotal{kAlice, 0, 0}));
}

TEST_F(VolumeUsers, NoUserTakesAllHandles) {
  open({.user_handles = 3});
  const InodeId file = make("file", "x");
  std::vector<fs::Opened> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(volume_->open_file(file, O_RDONLY, {.uid = kAlice}).value());
  }
  EXPECT_EQ(volume_->open_file(file, O_RDONLY | O_TRUNC, {.uid = kAlice}).error().code, EMFILE);
  EXPECT_EQ(read(file), "x") << "what is refused changes nothing";
  const auto create = volume_->create(kRootInode, "new", 0644, O_RDWR | O_CREAT, {.uid = kAlice});
  EXPECT_EQ(create.error().code, EMFILE);
  EXPECT_EQ(volume_->lookup(kRootInode, "new").error().code, ENOENT);
  close(volume_->open_file(file, O_RDONLY, {.uid = kBob}).value());
  close(held.back());
  held.back() = volume_->open_file(file, O_RDONLY, {.uid = kAlice}).value();
  for (const fs::Opened& opened : held) close(opened);
}

TEST_F(VolumeUsers, AFullIndexTakesDeletesOnly) {
  bool full = false;
  open({.index_room = [&full]() -> Result<> {
    if (full) return fail(ENOSPC, "full");
    return {};
  }});
  const InodeId file = make("file", "x");
  full = true;
  EXPECT_EQ(volume_->mkdir(kRootInode, "more", 0755, {}).error().code, ENOSPC);
  EXPECT_EQ(volume_->link(file, kRootInode, "more").error().code, ENOSPC);
  EXPECT_EQ(volume_->set_xattr(file, "user.x", "v", 0).error().code, ENOSPC);
  EXPECT_TRUE(volume_->rename(kRootInode, "file", kRootInode, "renamed", 0));
  EXPECT_TRUE(volume_->unlink(kRootInode, "renamed"));
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
