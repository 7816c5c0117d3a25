// SPDX-License-Identifier: Apache-2.0
// Reclaim meets requests that are under way.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

// Calls `before` once, before the next commit that names a record.
class HookedIndex final : public SharedIndex {
 public:
  using SharedIndex::SharedIndex;
  Result<> commit(const index::Batch& batch) override {
    if (before && !batch.put_records.empty()) std::exchange(before, nullptr)();
    return SharedIndex::commit(batch);
  }
  std::function<void()> before;
};

InodeId write_file(fs::Volume& volume, const std::string& name, const std::string& bytes) {
  const auto made = volume.create(kRootInode, name, 0644, O_WRONLY, {}).value();
  EXPECT_TRUE(volume.write(made.handle, as_bytes(bytes), 0));
  EXPECT_TRUE(volume.release(made.handle));
  return InodeId{made.attributes.st_ino};
}

std::string read_file(fs::Volume& volume, InodeId inode) {
  const auto opened = volume.open_file(inode, O_RDONLY);
  if (!opened) return describe(opened.error());
  std::string text(static_cast<std::size_t>(opened->attributes.st_size), '?');
  const auto got = volume.read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
  EXPECT_TRUE(volume.release(opened->handle));
  return got ? text : describe(got.error());
}

TEST(VolumeReclaim, LeavesASegmentThatARecordIsOnItsWayInto) {
  TestStore store;
  auto owned = std::make_unique<HookedIndex>(store.index);
  HookedIndex& index = *owned;
  const auto volume = fs::Volume::open({.index = std::move(owned),
                                        .segments = store.segments(),
                                        .staging = storage::Staging::create(kMiB).value()},
                                       {.fuse_limit = 32 * kKiB, .reclaim_in_background = false})
                          .value();
  // The record is written and not yet named; meanwhile all others in its segment come and go.
  index.before = [&] {
    std::jthread([&] {
      for (int i = 0; i < 20; ++i) {
        write_file(*volume, "other", std::string(20 * kKiB, 'o'));
        EXPECT_TRUE(volume->unlink(kRootInode, "other"));
      }
      EXPECT_TRUE(volume->reclaim_now());
    }).join();
  };
  const InodeId inode = write_file(*volume, "file", "its bytes");
  EXPECT_EQ(index.before, nullptr);
  EXPECT_EQ(read_file(*volume, inode), "its bytes");
}

TEST(VolumeReclaim, CountsAFileThatIsOpenedAfterItsUnlink) {
  TestStore store;
  const auto volume = store.open({.fuse_limit = 32 * kKiB, .reclaim_in_background = false}).value();
  // As the kernel does for a descriptor that was opened with O_PATH.
  volume->set_kernel({.holds = [](InodeId) { return true; }, .drop_caches = {}, .wake = {}});
  const InodeId inode = write_file(*volume, "file", std::string(100 * kKiB, 'a'));
  ASSERT_TRUE(volume->unlink(kRootInode, "file"));
  const auto again = volume->open_file(inode, O_WRONLY).value();
  ASSERT_TRUE(volume->write(again.handle, as_bytes(std::string(60 * kKiB, 'b')), 100 * kKiB));
  ASSERT_TRUE(volume->release(again.handle));
  ASSERT_TRUE(volume->set_attributes(inode, {.mode = {}, .size = 130 * kKiB}));
  EXPECT_EQ(volume->status().charged, 0U);
  EXPECT_GE(volume->status().dead, 130 * kKiB);
  volume->set_kernel({});
  ASSERT_TRUE(volume->reclaim_now());
  EXPECT_EQ(volume->status().charged, 0U);
  EXPECT_EQ(volume->status().dead, 0U);
}

TEST(VolumeReclaim, CountsAFileThatGetsANameAgain) {
  TestStore store;
  const auto volume = store.open({.fuse_limit = 32 * kKiB, .reclaim_in_background = false}).value();
  volume->set_kernel({.holds = [](InodeId) { return true; }, .drop_caches = {}, .wake = {}});
  const auto made = volume->create_unnamed(kRootInode, 0644, O_WRONLY, {}).value();
  ASSERT_TRUE(volume->write(made.handle, as_bytes(std::string(100 * kKiB, 'a')), 0));
  const std::uint64_t charged = volume->status().charged;
  ASSERT_TRUE(volume->release(made.handle));
  EXPECT_EQ(volume->status().charged, 0U);
  ASSERT_TRUE(volume->link(InodeId{made.attributes.st_ino}, kRootInode, "file"));
  ASSERT_TRUE(volume->reclaim_now());
  EXPECT_EQ(volume->status().charged, charged + fs::kNameCharge);
  EXPECT_EQ(volume->status().dead, 0U);
  EXPECT_EQ(read_file(*volume, InodeId{made.attributes.st_ino}), std::string(100 * kKiB, 'a'));
}

}  // namespace
}  // namespace spillfs::tests
