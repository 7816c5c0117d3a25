// SPDX-License-Identifier: Apache-2.0
// What a start finds after a loss of power.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace spillfs::tests
