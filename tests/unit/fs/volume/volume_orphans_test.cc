// SPDX-License-Identifier: Apache-2.0
// Who made a directory, and which files their writers did not get to finish.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <ctime>

#include "fs/volume/names/own_xattrs.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

constexpr pid_t kLives = 1;
constexpr pid_t kDies = 2;

class VolumeOrphans : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override {
    volume_.reset();
    EXPECT_EQ(store_.problems(), "");
  }
  void open() {
    volume_.reset();
    fs::VolumeOptions options{.quota = 64 * kKiB, .fuse_limit = 32 * kKiB};
    options.creator = [](pid_t pid, std::string_view runtime) {
      return pid == 9 ? "" : fmt::format("process {}{}", pid, runtime);
    };
    options.dying_of = [](pid_t pid) { return pid == kDies ? 9 : 0; };
    volume_ = store_.open(std::move(options)).value();
  }
  InodeId mkdir(const std::string& name, pid_t pid) {
    return InodeId{volume_->mkdir(kRootInode, name, 0755, {.pid = pid})->st_ino};
  }
  fs::Opened create(const std::string& name, int flags = O_WRONLY) {
    if (folder_ == kRootInode) folder_ = mkdir("ray_spilled_objects_" + std::string(56, 'a'), 0);
    return volume_->create(folder_, name, 0644, flags | O_CREAT, {}).value();
  }
  void close(const fs::Opened& file, pid_t closer) {
    EXPECT_TRUE(volume_->flush(file.handle, storage::DiskWait::kWait, closer));
    EXPECT_TRUE(volume_->release(file.handle));
  }
  std::string xattr(InodeId inode, const char* name) {
    const auto found = volume_->get_xattr(inode, name);
    return found ? *found : std::to_string(found.error().code);
  }
  std::string mark(const fs::Opened& file) { return xattr(id(file), fs::kHalfWrittenXattr); }
  static InodeId id(const fs::Opened& opened) { return InodeId{opened.attributes.st_ino}; }

  const std::string file_ = std::string(32, 'b') + "-multi-1";
  const std::string none_ = std::to_string(ENODATA);
  InodeId folder_ = kRootInode;
  TestStore store_;
  std::unique_ptr<fs::Volume> volume_;
};

TEST_F(VolumeOrphans, ADirectoryKnowsWhoMadeIt) {
  const InodeId made = mkdir("made", 7);
  EXPECT_EQ(xattr(made, fs::kCreatorXattr), "process 7");
  EXPECT_EQ(xattr(mkdir("unknown", 0), fs::kCreatorXattr), none_);
  EXPECT_EQ(xattr(mkdir("hidden", 9), fs::kCreatorXattr), none_);
  EXPECT_THAT(*volume_->list_xattrs(made), testing::IsEmpty());
  EXPECT_TRUE(volume_->set_xattr(made, fs::kCreatorXattr, "me", 0));
  EXPECT_TRUE(volume_->remove_xattr(made, fs::kCreatorXattr));
  EXPECT_EQ(xattr(made, fs::kCreatorXattr), "process 7") << "neither does anything";
  ASSERT_TRUE(volume_->set_xattr(made, "user.mine", "x", 0));
  EXPECT_THAT(*volume_->list_xattrs(made), testing::ElementsAre("user.mine"));
  open();
  EXPECT_EQ(xattr(made, fs::kCreatorXattr), "process 7") << "after a mount";
  ASSERT_TRUE(volume_->rmdir(kRootInode, "made"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_FALSE(store_.index->xattr(made, fs::kCreatorXattr));
}

TEST_F(VolumeOrphans, AFileWhoseWriterIsKilledIsMarked) {
  const auto file = create(file_);
  ASSERT_TRUE(volume_->write(file.handle, as_bytes("half"), 0));
  EXPECT_EQ(xattr(id(file), fs::kOpensXattr), "1");
  close(file, kDies);
  EXPECT_EQ(mark(file), "its writer was killed by signal 9");
  EXPECT_EQ(xattr(id(file), fs::kOpensXattr), "0");
  EXPECT_THAT(*volume_->list_xattrs(id(file)),
              testing::Not(testing::Contains(fs::kHalfWrittenXattr)));
  open();
  EXPECT_EQ(mark(file), "its writer was killed by signal 9") << "after a mount";
  close(volume_->open_file(id(file), O_RDONLY).value(), kDies);
  EXPECT_NE(mark(file), none_) << "only read";
  close(volume_->open_file(id(file), O_WRONLY).value(), kDies);
  EXPECT_EQ(mark(file), none_) << "somebody wrote on";
}

TEST_F(VolumeOrphans, AFileThatWasClosedIsWhole) {
  const auto file = create(file_);
  const auto child = volume_->open_file(id(file), O_WRONLY).value();
  ASSERT_TRUE(volume_->flush(file.handle, storage::DiskWait::kWait, kDies));  // a duplicate's
  ASSERT_TRUE(volume_->flush(file.handle, storage::DiskWait::kWait, kLives));
  close(child, kDies);
  EXPECT_EQ(mark(file), none_) << "still open";
  close(file, kDies);
  EXPECT_EQ(mark(file), none_);
}

TEST_F(VolumeOrphans, OtherFilesAreNotMarked) {
  const auto log = create("log");
  close(log, kDies);
  EXPECT_EQ(mark(log), none_);
  const auto removed = create(file_);
  ASSERT_TRUE(volume_->unlink(folder_, file_));
  close(removed, kDies);
  EXPECT_EQ(mark(removed), none_);
}

TEST_F(VolumeOrphans, AFileWhoseLastWriteFailedIsMarked) {
  const auto full = [&](const fs::Opened& file) {
    return volume_->write(file.handle, as_bytes(std::string(200 * kKiB, 'x')), 0);
  };
  const auto file = create(file_);
  EXPECT_FALSE(full(file));
  ASSERT_TRUE(volume_->write(file.handle, as_bytes("less"), 0));
  close(file, kLives);
  EXPECT_EQ(mark(file), none_) << "it got over it";
  const auto other = create(std::string(32, 'c') + "-multi-1");
  EXPECT_FALSE(full(other));
  close(other, kLives);
  EXPECT_EQ(mark(other), "its last write failed: No space left on device");
}

TEST_F(VolumeOrphans, ADirectoryKnowsWhoseNameItWasMadeUnder) {
  EXPECT_EQ(xattr(mkdir("ray_spilled_objects_" + std::string(56, 'c'), 7), fs::kCreatorXattr),
            "process 7Ray");
  EXPECT_EQ(xattr(mkdir("worker-a1b2c3d4", 7), fs::kCreatorXattr), "process 7") << "not in its own";
  const InodeId space = mkdir("dask-scratch-space", 7);
  const auto worker = volume_->mkdir(space, "worker-a1b2c3d4", 0755, {.pid = 7});
  EXPECT_EQ(xattr(InodeId{worker->st_ino}, fs::kCreatorXattr), "process 7Dask");
}

TEST_F(VolumeOrphans, OnlyWhatIsUnusedIsRemoved) {
  const auto file = create("file");
  const auto remove = [&](InodeId inode, std::optional<index::Time> latest) {
    const auto removed =
        volume_->remove_unused(folder_, "file", {.inode = inode, .latest = latest});
    return removed ? 0 : removed.error().code;
  };
  const index::Time later{.seconds = std::time(nullptr) + 100, .nanoseconds = 0};
  EXPECT_EQ(remove(id(file), later), EBUSY) << "open";
  close(file, kLives);
  EXPECT_EQ(remove(folder_, later), ENOENT) << "another inode's";
  EXPECT_EQ(remove(id(file), index::Time{}), EBUSY) << "touched since";
  std::vector<InodeId> dropped;
  volume_->set_kernel({.drop_attributes = [&](InodeId inode) { dropped.push_back(inode); }});
  EXPECT_EQ(remove(id(file), later), 0);
  EXPECT_THAT(dropped, testing::UnorderedElementsAre(id(file), folder_));
  EXPECT_FALSE(volume_->lookup(folder_, "file"));
  // The kernel has the name, and is told to look for it again.
  const auto attributes = volume_->get_attributes(id(file));
  const auto opened = volume_->open_file(id(file), O_RDONLY);
  volume_->set_kernel({});
  ASSERT_TRUE(!attributes && !opened);
  EXPECT_EQ(attributes.error().code, ESTALE);
  EXPECT_EQ(opened.error().code, ESTALE);
  EXPECT_EQ(remove(id(file), later), ENOENT);
}

TEST_F(VolumeOrphans, ADirectoryThatIsNotEmptyIsUsed) {
  const InodeId outer = mkdir("outer", 7);
  ASSERT_TRUE(volume_->mkdir(outer, "inner", 0755, {}));
  const fs::Unused only{.inode = outer, .latest = index::Time{}};
  EXPECT_EQ(volume_->remove_unused(kRootInode, "outer", only).error().code, ENOTEMPTY);
  ASSERT_TRUE(volume_->rmdir(outer, "inner"));
  EXPECT_TRUE(volume_->remove_unused(kRootInode, "outer", only));
}

}  // namespace
}  // namespace spillfs::tests
