// SPDX-License-Identifier: Apache-2.0
// What a start finds after a loss of power, and what a disk that fails leaves to the others.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "storage/faulty_device.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

TEST(VolumeRecovery, GivesNoNumberOfASegmentThatTheIndexHasForgotten) {
  TestStore store;
  const auto left = store.devices[0]->create("segments/5.private").value();
  ASSERT_TRUE(store.devices[1]->create("segments/70.fused"));
  const auto volume = store.open().value();
  for (int i = 0; i < 100; ++i) {
    const auto made =
        volume->create(kRootInode, fmt::format("file{}", i), 0644, O_WRONLY, {}).value();
    EXPECT_TRUE(volume->write(made.handle, as_bytes(std::string(40 * kKiB, 'a')), 0)) << i;
    EXPECT_TRUE(volume->flush(made.handle)) << i;
    EXPECT_TRUE(volume->release(made.handle)) << i;
  }
  EXPECT_EQ(left->status()->size, 0U);
  EXPECT_GT(store.index->reserve(index::Counter::kSegment, 0).value(), 170U);
}

TEST(FailedRead, LeavesItsDirectoryOutOfRotation) {
  TestStore store;
  const auto plan = std::make_shared<storage::FaultPlan>();
  for (auto& device : store.devices) {
    device = std::make_shared<storage::FaultyDevice>(device, plan);
  }
  const auto volume = store.open({.fuse_limit = 32 * kKiB}).value();
  const auto write = [&](const std::string& name) {
    const auto made = volume->create(kRootInode, name, 0644, O_WRONLY, {}).value();
    EXPECT_TRUE(volume->write(made.handle, as_bytes(std::string(40 * kKiB, 'a')), 0));
    EXPECT_TRUE(volume->release(made.handle));
    return InodeId{made.attributes.st_ino};
  };
  const InodeId file = write("file");
  const DirectoryId directory = volume->committed_inode(file)->location.directory;
  const auto opened = volume->open_file(file, O_RDONLY).value();
  std::string into(100, 0);
  plan->fail_at(1, {.code = EIO, .call = "read"});
  EXPECT_EQ(volume->read(opened.handle, std::as_writable_bytes(std::span(into)), 0).error().code,
            EIO);
  ASSERT_TRUE(plan->fired());
  EXPECT_FALSE(volume->directories().at(number(directory)).takes_segments);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NE(volume->committed_inode(write(fmt::format("other{}", i)))->location.directory,
              directory);
  }
  ASSERT_TRUE(volume->read(opened.handle, std::as_writable_bytes(std::span(into)), 0))
      << "it is read where it can be";
}

}  // namespace
}  // namespace spillfs::tests
