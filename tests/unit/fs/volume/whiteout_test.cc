// SPDX-License-Identifier: Apache-2.0
// Renames that leave a whiteout, as overlayfs makes them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"
#include "tests/support/test_store.h"

namespace spillfs::fs {
namespace {

constexpr Caller kAlice{.uid = 4001, .gid = 4002};

class Whiteouts : public testing::Test {
 protected:
  InodeId make(const std::string& name) {
    const Opened made = volume_->create(kRootInode, name, 0644, O_WRONLY | O_CREAT, {}).value();
    EXPECT_TRUE(volume_->flush(made.handle));
    EXPECT_TRUE(volume_->release(made.handle));
    return InodeId{made.attributes.st_ino};
  }
  int rename(const std::string& from, const std::string& to, unsigned flags,
             Caller caller = kAlice) {
    const auto done = volume_->rename(kRootInode, from, kRootInode, to, flags, caller);
    return done ? 0 : done.error().code;
  }
  void is_whiteout(const std::string& name) {
    const auto found = volume_->lookup(kRootInode, name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->st_mode, mode_t{S_IFCHR});
    EXPECT_EQ(found->st_rdev, 0U);
    EXPECT_EQ(found->st_nlink, 1U);
    EXPECT_EQ(found->st_uid, kAlice.uid);
    EXPECT_EQ(found->st_gid, kAlice.gid);
  }
  void start(const VolumeOptions& options = {.reclaim_in_background = false}) {
    volume_.reset();
    volume_ = store_.open(options).value();
  }

  tests::TestStore store_;
  std::unique_ptr<Volume> volume_ = store_.open({.reclaim_in_background = false}).value();
};

TEST_F(Whiteouts, StayUnderTheOldName) {
  const InodeId file = make("file");
  EXPECT_EQ(rename("file", "moved", RENAME_WHITEOUT), 0);
  is_whiteout("file");
  EXPECT_EQ(InodeId{volume_->lookup(kRootInode, "moved")->st_ino}, file);
  EXPECT_EQ(volume_->status().inodes, 3);
  start();
  is_whiteout("file");
  EXPECT_EQ(volume_->status().inodes, 3);
  EXPECT_TRUE(volume_->unlink(kRootInode, "file"));
  start();
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(volume_->status().inodes, 2);
  volume_.reset();
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Whiteouts, ReplaceAndGoWithNoReplace) {
  make("file");
  make("target");
  EXPECT_EQ(rename("file", "target", RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(rename("file", "target", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
  EXPECT_EQ(rename("file", "target", RENAME_WHITEOUT), 0);
  is_whiteout("file");
  EXPECT_EQ(rename("target", "free", RENAME_WHITEOUT | RENAME_NOREPLACE), 0);
  is_whiteout("target");
}

TEST_F(Whiteouts, OfADirectoryCountAsTheFileTheyAre) {
  const InodeId folder{volume_->mkdir(kRootInode, "folder", 0755, {})->st_ino};
  ASSERT_TRUE(volume_->mkdir(folder, "inner", 0755, {}));
  ASSERT_TRUE(volume_->rename(folder, "inner", kRootInode, "inner", RENAME_WHITEOUT, kAlice));
  EXPECT_EQ(volume_->get_attributes(folder)->st_nlink, 2U);
  EXPECT_EQ(volume_->rmdir(kRootInode, "folder").error().code, ENOTEMPTY);
  EXPECT_TRUE(volume_->unlink(folder, "inner"));
  EXPECT_TRUE(volume_->rmdir(kRootInode, "folder"));
  volume_.reset();
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Whiteouts, CountForWhoRenames) {
  make("file");
  start({.user_quota = 1024, .reclaim_in_background = false});
  EXPECT_EQ(rename("file", "a", RENAME_WHITEOUT), 0);
  EXPECT_EQ(rename("a", "b", RENAME_WHITEOUT), EDQUOT);
  EXPECT_TRUE(volume_->lookup(kRootInode, "a"));
  EXPECT_EQ(volume_->lookup(kRootInode, "b").error().code, ENOENT);
  EXPECT_EQ(volume_->users()[kAlice.uid], 1024U);
  EXPECT_EQ(rename("a", "b", 0), 0);
}

TEST_F(Whiteouts, AreMadeOnce) {
  make("file");
  Caller caller = kAlice;
  caller.request = RequestId{7};
  EXPECT_EQ(rename("file", "moved", RENAME_WHITEOUT, caller), 0);
  EXPECT_TRUE(volume_->replied(RequestId{7})->has_value());
}

}  // namespace
}  // namespace spillfs::fs
