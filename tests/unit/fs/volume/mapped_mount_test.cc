// SPDX-License-Identifier: Apache-2.0
// Whom what is done through a mount whose ids are mapped counts for.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "fs/volume/volume.h"
#include "tests/support/test_store.h"

namespace spillfs::fs {
namespace {

// Through a mapped mount the kernel says whose a new inode is; who asks is another.
class Mapped : public testing::Test {
 protected:
  static constexpr Caller kMapped{.uid = 1000, .gid = 1000, .asks = 101000};

  void start(const VolumeOptions& options) { volume_ = store_.open(options).value(); }
  HandleId open_new(const std::string& name, Caller caller) {
    return volume_->create(kRootInode, name, 0666, O_WRONLY | O_CREAT, caller)->handle;
  }

  tests::TestStore store_;
  std::unique_ptr<Volume> volume_;
};

TEST_F(Mapped, FilesAreTheOwnersAndHandlesTheUsers) {
  start({.user_handles = 2, .reclaim_in_background = false});
  const HandleId first = open_new("a", kMapped);
  EXPECT_EQ(volume_->lookup(kRootInode, "a")->st_uid, 1000U);
  EXPECT_EQ(volume_->opener_of(first), 101000U);
  open_new("b", kMapped);
  EXPECT_EQ(volume_->create(kRootInode, "c", 0666, O_WRONLY | O_CREAT, kMapped).error().code,
            EMFILE);
  open_new("d", {.uid = 1000, .gid = 1000});
}

TEST_F(Mapped, ARootThatIsMappedIsNoRoot) {
  start({.user_handles = 1, .reclaim_in_background = false});
  const Caller root{.uid = 0, .gid = 0, .asks = 100000};
  open_new("a", root);
  EXPECT_EQ(volume_->create(kRootInode, "b", 0666, O_WRONLY | O_CREAT, root).error().code, EMFILE);
}

TEST_F(Mapped, WhoMakesAnOwnersFilesMayNameThemAgain) {
  start({.user_quota = kMiB, .reclaim_in_background = false});
  const InodeId file{volume_->mknod(kRootInode, "file", S_IFREG | 0666, 0, {.uid = 1000})->st_ino};
  const Caller asking{.uid = ~0U, .gid = ~0U, .asks = 101000};
  EXPECT_EQ(volume_->link(file, kRootInode, "b", asking).error().code, EPERM);
  open_new("other", kMapped);
  EXPECT_TRUE(volume_->link(file, kRootInode, "b", asking));
  const Caller another{.uid = ~0U, .gid = ~0U, .asks = 101001};
  EXPECT_EQ(volume_->link(file, kRootInode, "c", another).error().code, EPERM);
}

}  // namespace
}  // namespace spillfs::fs
