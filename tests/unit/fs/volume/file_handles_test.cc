// SPDX-License-Identifier: Apache-2.0
// What a file handle names, as the kernel asks for it: an inode by its number, and where it is.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"
#include "tests/support/test_store.h"

namespace spillfs::fs {
namespace {

class FileHandles : public testing::Test {
 protected:
  InodeId make(InodeId parent, const std::string& name) {
    const Opened made = volume_->create(parent, name, 0644, O_WRONLY | O_CREAT, {}).value();
    EXPECT_TRUE(volume_->flush(made.handle));
    EXPECT_TRUE(volume_->release(made.handle));
    return InodeId{made.attributes.st_ino};
  }
  InodeId make_directory(InodeId parent, const std::string& name) {
    return InodeId{volume_->mkdir(parent, name, 0755, {})->st_ino};
  }
  int error(InodeId id) { return volume_->look_up_number(id).error().code; }
  InodeId found(InodeId id) { return InodeId{volume_->look_up_number(id)->st_ino}; }
  InodeId parent(InodeId id) { return InodeId{volume_->look_up_parent(id)->st_ino}; }

  tests::TestStore store_;
  std::unique_ptr<Volume> volume_ = store_.open().value();
};

TEST_F(FileHandles, NameInodesByNumber) {
  const InodeId folder = make_directory(kRootInode, "folder");
  const InodeId file = make(folder, "file");
  for (const InodeId id : {kRootInode, folder, file}) EXPECT_EQ(found(id), id);
  EXPECT_EQ(parent(file), folder);
  EXPECT_EQ(parent(folder), kRootInode);
  EXPECT_EQ(parent(kRootInode), kRootInode);
}

TEST_F(FileHandles, FollowRenamesAndStarts) {
  const InodeId folder = make_directory(kRootInode, "folder");
  const InodeId inner = make_directory(folder, "inner");
  const InodeId file = make(inner, "file");
  ASSERT_TRUE(volume_->rename(folder, "inner", kRootInode, "moved", 0));
  volume_.reset();
  volume_ = store_.open().value();
  EXPECT_EQ(found(file), file);
  EXPECT_EQ(parent(inner), kRootInode);
}

TEST_F(FileHandles, OfWhatIsGoneAreStale) {
  const InodeId folder = make_directory(kRootInode, "folder");
  const InodeId file = make(kRootInode, "file");
  ASSERT_TRUE(volume_->unlink(kRootInode, "file"));
  ASSERT_TRUE(volume_->rmdir(kRootInode, "folder"));
  for (int round = 0; round < 2; ++round) {  // orphans first, then nothing
    for (const InodeId id : {folder, file, InodeId{1U << 30}}) {
      EXPECT_EQ(error(id), ESTALE);
      EXPECT_EQ(volume_->look_up_parent(id).error().code, ESTALE);
    }
    ASSERT_TRUE(volume_->reclaim_now());
  }
}

}  // namespace
}  // namespace spillfs::fs
