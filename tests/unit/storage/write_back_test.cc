// SPDX-License-Identifier: Apache-2.0
// Private segments whose streams go through the page cache, and are written back beyond a window.
#include <gtest/gtest.h>

#include <thread>

#include "storage/memory_device.h"
#include "storage/segments.h"
#include "tests/support/held_device.h"

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kWindow = 2 * kMiB;

class WriteBackTest : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    std::vector<std::unique_ptr<Device>> devices;
    devices.push_back(std::make_unique<tests::HeldDevice>(std::make_shared<MemoryDevice>(), gate_));
    store_ = SegmentStore::open(std::move(devices), {}, {.first_directory = 0}).value();
    segment_ =
        store_->create_private(SegmentId{1}, DirectoryId{0}, InodeId{42}, Blocks::kFresh).value();
    segment_->write_cached(pool_, kWindow);
  }
  Result<> append(DiskWait wait = DiskWait::kWait) {
    return segment_->write(as_bytes(megabyte_), segment_->length(), wait);
  }
  // The last append sends the first step, and without threads hears of it.
  Result<> append_until_sent() {
    for (std::uint64_t at = 0; at <= kWindow + WriteBack::kStep; at += kMiB) {
      EXPECT_TRUE(append());
    }
    return append();
  }
  void wait_for_pool() const {
    while (pool_.busy()) std::this_thread::yield();
  }

  const std::string megabyte_ = std::string(kMiB, 'x');
  const std::shared_ptr<tests::Gate> gate_ = std::make_shared<tests::Gate>();
  WritePool pool_{GetParam()};
  std::unique_ptr<SegmentStore> store_;
  std::unique_ptr<PrivateSegment> segment_;
};

TEST_P(WriteBackTest, SendsWhatIsBeyondTheWindow) {
  EXPECT_TRUE(append_until_sent());
  gate_->wait_for(1);
  wait_for_pool();
  EXPECT_TRUE(segment_->settle().value());
  EXPECT_TRUE(segment_->trim());
}

TEST_P(WriteBackTest, AnErrorAfterTheLastWriteIsTheSealsToTell) {
  gate_->fail_with(EIO);
  if (GetParam() != 0) gate_->close();
  EXPECT_EQ(append_until_sent().has_value(), GetParam() != 0);
  gate_->open();
  wait_for_pool();
  EXPECT_EQ(segment_->settle().error().code, EIO);
  EXPECT_EQ(segment_->trim().error().code, EIO);
  gate_->fail_with(0);
  EXPECT_EQ(append().error().code, EIO);
}

TEST(WriteBackLimit, AWriterIsToldToComeAgainWhenTheDiskIsBehind) {
  const auto gate = std::make_shared<tests::Gate>();
  gate->close();
  std::vector<std::unique_ptr<Device>> devices;
  devices.push_back(std::make_unique<tests::HeldDevice>(std::make_shared<MemoryDevice>(), gate));
  const auto store = SegmentStore::open(std::move(devices), {}, {.first_directory = 0}).value();
  WritePool pool(WriteBack::kDepth);
  const auto segment =
      store->create_private(SegmentId{1}, DirectoryId{0}, InodeId{42}, Blocks::kFresh).value();
  segment->write_cached(pool, kWindow);
  const std::string megabyte(kMiB, 'x');
  const auto append = [&] {
    return segment->write(as_bytes(megabyte), segment->length(), DiskWait::kCallAgain);
  };
  Result<> last;
  while (last && segment->length() < 100 * kMiB) last = append();
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, ENOBUFS);
  const std::uint64_t length = segment->length();
  EXPECT_LE(length, kWindow + (WriteBack::kDepth + 2) * WriteBack::kStep);
  gate->open();
  while (pool.busy()) std::this_thread::yield();
  EXPECT_TRUE(append());
  EXPECT_EQ(segment->length(), length + kMiB);
}

INSTANTIATE_TEST_SUITE_P(Threads, WriteBackTest, testing::Values(0, 2));

}  // namespace
}  // namespace spillfs::storage
