// SPDX-License-Identifier: Apache-2.0
#include "storage/segments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "storage/faulty_device.h"
#include "storage/memory_device.h"
#include "tests/support/shared.h"

namespace spillfs::storage {
namespace {

constexpr DirectoryId kFirst{0};
constexpr InodeId kInode{42};

class SegmentsTest : public testing::Test {
 protected:
  void open(SegmentOptions options = {.segment_size = kMiB, .first_directory = 0}) {
    std::vector<std::unique_ptr<Device>> devices;
    for (auto& device : devices_) devices.push_back(std::make_unique<tests::SharedDevice>(device));
    store_ = SegmentStore::open(std::move(devices), {}, options).value();
  }
  std::unique_ptr<PrivateSegment> create_private(std::uint64_t id, Blocks blocks) {
    return store_->create_private(SegmentId{id}, kFirst, kInode, blocks).value();
  }
  static void append(PrivateSegment& segment, const std::string& text) {
    ASSERT_TRUE(segment.write(as_bytes(text), segment.length()));
  }
  static std::string read(PrivateSegment& segment, std::uint64_t offset, std::size_t count) {
    std::string text(count, '?');
    text.resize(segment.read(std::as_writable_bytes(std::span(text)), offset).value());
    return text;
  }
  static std::optional<Location> append(FusedSegment& segment, const std::string& text) {
    RecordInfo info{.inode = kInode, .path = "/x"};
    const std::array payload{as_bytes(text)};
    measure(info, payload);
    return segment.append(info, payload).value();
  }

  std::vector<std::shared_ptr<Device>> devices_{std::make_shared<MemoryDevice>(kGiB)};
  std::unique_ptr<SegmentStore> store_;
};

TEST_F(SegmentsTest, AStreamIsPreallocatedAndTrimmedToItsLength) {
  open();
  auto segment = create_private(1, Blocks::kMayRecycle);
  append(*segment, "hello");
  EXPECT_EQ(segment->allocated().value(), 4096U) << "a small file holds little";
  append(*segment, std::string(kMiB, 'x'));
  append(*segment, "x");
  EXPECT_GE(segment->allocated().value(), 2 * kMiB) << "a stream has as much again";
  EXPECT_EQ(segment->file()->status()->size, kMiB + 6);
  ASSERT_TRUE(segment->trim());
  EXPECT_EQ(segment->allocated().value(), kMiB + 4096);
  append(*segment, " again");
  const std::string all = "hello" + std::string(kMiB + 1, 'x') + " again";
  EXPECT_EQ(read(*segment, 0, 2 * kMiB), all);
  EXPECT_EQ(segment->sums().value(), chunk_sums(as_bytes(all)));
}

TEST_F(SegmentsTest, NoReaderSeesARecycledSegmentsOldBytes) {
  open();
  auto first = create_private(1, Blocks::kMayRecycle);
  append(*first, std::string(100000, 's'));
  ASSERT_TRUE(first->trim());
  first.reset();
  ASSERT_TRUE(store_->recycle(SegmentId{1}, kFirst));
  EXPECT_GE(store_->pool_bytes(), 100000U);

  auto second = create_private(2, Blocks::kMayRecycle);
  EXPECT_EQ(store_->pool_bytes(), 0U);
  append(*second, "new");
  EXPECT_EQ(read(*second, 0, 100), "new");
  EXPECT_EQ(second->file()->status()->size, 100000U);  // the old bytes, behind the length
  ASSERT_TRUE(second->write(as_bytes("far"), 50000));
  EXPECT_EQ(read(*second, 3, 49997), std::string(49997, '\0'));
  EXPECT_EQ(second->length(), 50003U);
  EXPECT_FALSE(second->sums());
}

TEST_F(SegmentsTest, FreshBlocksNeverComeFromThePool) {
  open();
  auto first = create_private(1, Blocks::kMayRecycle);
  append(*first, std::string(100000, 's'));
  first.reset();
  ASSERT_TRUE(store_->recycle(SegmentId{1}, kFirst));
  auto second = create_private(2, Blocks::kFresh);
  EXPECT_EQ(second->file()->status()->size, 0U);
  EXPECT_GT(store_->pool_bytes(), 0U);
}

TEST_F(SegmentsTest, ThePoolIsBoundedAndEmptiedAtStart) {
  open({.pool_limit = 64 * kKiB, .preallocate_step = 4 * kKiB, .first_directory = 0});
  for (std::uint64_t id : {1, 2, 3}) {
    auto segment = create_private(id, Blocks::kFresh);
    append(*segment, std::string(30000, 's'));
    segment.reset();
    ASSERT_TRUE(store_->recycle(SegmentId{id}, kFirst));
  }
  EXPECT_EQ(devices_[0]->list("recycle")->size(), 2U);
  EXPECT_TRUE(devices_[0]->list("segments")->empty());
  open();
  EXPECT_TRUE(devices_[0]->list("recycle")->empty());
}

TEST_F(SegmentsTest, TruncatesBothWaysAndToNothing) {
  open();
  auto segment = create_private(1, Blocks::kFresh);
  append(*segment, "0123456789");
  ASSERT_TRUE(segment->truncate(4));
  ASSERT_TRUE(segment->truncate(6));
  EXPECT_EQ(read(*segment, 0, 100), std::string("0123\0\0", 6));
  ASSERT_TRUE(segment->truncate(0));
  EXPECT_TRUE(segment->streaming());
  append(*segment, "ab");
  EXPECT_EQ(read(*segment, 0, 100), "ab");
}

TEST_F(SegmentsTest, AResumedSegmentMustHoldItsLength) {
  open();
  auto segment = create_private(1, Blocks::kFresh);
  append(*segment, "0123456789");
  segment.reset();
  EXPECT_EQ(store_->open_private(SegmentId{1}, kFirst, 11).error().code, EIO);
  auto resumed = store_->open_private(SegmentId{1}, kFirst, 5).value();
  EXPECT_EQ(read(*resumed, 0, 100), "01234");
  append(*resumed, "x");
  EXPECT_EQ(read(*resumed, 0, 100), "01234x");
  EXPECT_EQ(resumed->file()->status()->size, 6U);
}

TEST_F(SegmentsTest, AnIdentityNamesTheOwner) {
  open();
  auto segment = create_private(1, Blocks::kFresh);
  append(*segment, "0123");
  ASSERT_TRUE(segment->identify({.inode = kInode, .path = "/path"}));
  const Identity identity =
      decode_identity(segment->file()->attribute(kIdentityAttribute).value()).value();
  EXPECT_EQ(identity, (Identity{.inode = kInode, .length = 4, .path = "/path"}));
}

TEST_F(SegmentsTest, AnIdentityThatDoesNotFitGoesWithoutItsPath) {
  const auto plan = std::make_shared<FaultPlan>();
  devices_ = {std::make_shared<FaultyDevice>(devices_[0], plan)};
  open();
  auto segment = create_private(1, Blocks::kFresh);
  append(*segment, "0123");
  plan->fail_at(1, {.code = E2BIG});
  ASSERT_TRUE(segment->identify({.inode = kInode, .path = "/path"}));
  const Identity identity =
      decode_identity(segment->file()->attribute(kIdentityAttribute).value()).value();
  EXPECT_EQ(identity, (Identity{.inode = kInode, .length = 4, .path = ""}));
}

TEST_F(SegmentsTest, SeveralMaySyncAtTheSameTime) {
  open();
  const auto segment = create_private(1, Blocks::kFresh);
  append(*segment, "hello");
  std::latch ready(2);
  const auto sync = [&] {
    ready.arrive_and_wait();
    EXPECT_TRUE(segment->sync());
  };
  std::jthread first(sync);
  std::jthread second(sync);
}

TEST_F(SegmentsTest, RecordsAreAppendedUntilTheSegmentIsFull) {
  open();
  auto fused = store_->create_fused(SegmentId{7}, kFirst).value();
  const Location small = append(*fused, "tiny").value();
  const Location large = append(*fused, std::string(600 * kKiB, 'l')).value();
  EXPECT_EQ(small.record_offset, kSuperblockSize);
  EXPECT_EQ(large.record_offset, small.record_offset + small.record_length);
  EXPECT_FALSE(append(*fused, std::string(600 * kKiB, 'l')));
  EXPECT_TRUE(append(*fused, "tiny"));
  ASSERT_TRUE(fused->seal());
  EXPECT_FALSE(append(*fused, "tiny"));
  EXPECT_EQ(fused->file()->status()->allocated, round_up(fused->size(), 4096));

  const auto file = store_->open_fused(SegmentId{7}, kFirst).value();
  std::string text(4, '?');
  ASSERT_TRUE(file->read(std::as_writable_bytes(std::span(text)), small.data_offset));
  EXPECT_EQ(text, "tiny");
}

TEST_F(SegmentsTest, AnEmptySegmentTakesARecordOfAnySize) {
  open();
  auto fused = store_->create_fused(SegmentId{7}, kFirst).value();
  EXPECT_TRUE(append(*fused, std::string(3 * kMiB, 'l')));
  EXPECT_FALSE(append(*fused, "x"));
}

TEST_F(SegmentsTest, AForeignOrDamagedSegmentIsRefused) {
  open();
  ASSERT_TRUE(store_->create_fused(SegmentId{7}, kFirst));
  auto file = devices_[0]->open("segments/7.fused").value();
  ASSERT_TRUE(file->write(encode_superblock({std::byte{9}}, SegmentId{7}), 0));
  auto opened = store_->open_fused(SegmentId{7}, kFirst);
  EXPECT_EQ(opened.error().code, EIO);
  EXPECT_NE(opened.error().context.find("another store"), std::string::npos);
  EXPECT_EQ(store_->open_fused(SegmentId{8}, kFirst).error().code, EIO);
}

TEST_F(SegmentsTest, AnOpenFusedFileIsALease) {
  open();
  auto fused = store_->create_fused(SegmentId{7}, kFirst).value();
  const Location location = append(*fused, "lease").value();
  const auto lease = store_->open_fused(SegmentId{7}, kFirst).value();
  ASSERT_TRUE(store_->remove(SegmentKind::kFused, SegmentId{7}, kFirst));
  std::string text(5, '?');
  ASSERT_TRUE(lease->read(std::as_writable_bytes(std::span(text)), location.data_offset));
  EXPECT_EQ(text, "lease");
  EXPECT_FALSE(store_->open_fused(SegmentId{7}, kFirst));
  EXPECT_TRUE(store_->remove(SegmentKind::kFused, SegmentId{7}, kFirst));
}

TEST_F(SegmentsTest, DirectoriesTakeTurnsAndFailedOnesAreLeftOut) {
  devices_.push_back(std::make_shared<MemoryDevice>(kGiB));
  devices_.push_back(std::make_shared<MemoryDevice>(kGiB));
  open();
  const auto next = [this] { return number(store_->choose_directory().value()); };
  EXPECT_THAT((std::vector{next(), next(), next(), next()}), testing::ElementsAre(0, 1, 2, 0));
  const Error broken{.code = EIO, .context = "broken", .where = {}};
  EXPECT_FALSE(
      store_->report_failure(DirectoryId{1}, {.code = ENOSPC, .context = {}, .where = {}}));
  EXPECT_TRUE(store_->report_failure(DirectoryId{1}, broken));
  EXPECT_THAT((std::vector{next(), next(), next()}), testing::Not(testing::Contains(1)));
  EXPECT_TRUE(store_->report_failure(DirectoryId{0}, broken));
  EXPECT_FALSE(store_->report_failure(DirectoryId{2}, broken)) << "the last one has to do";
  EXPECT_EQ(next(), 2);
}

TEST_F(SegmentsTest, ANearlyFullDirectoryTakesNoNewSegment) {
  devices_[0] = std::make_shared<MemoryDevice>(kMiB);
  ASSERT_TRUE(
      devices_[0]->create("other").value()->allocate(AllocateMode::kExtend, 0, 1000 * kKiB));
  open();
  EXPECT_EQ(store_->choose_directory().error().code, ENOSPC);
  devices_.push_back(std::make_shared<MemoryDevice>(kGiB));
  open();
  EXPECT_EQ(number(store_->choose_directory().value()), 1);
}

TEST_F(SegmentsTest, ListsOnlySegments) {
  open();
  ASSERT_TRUE(devices_[0]->create("segments/README"));
  ASSERT_TRUE(devices_[0]->create("segments/x.fused"));
  ASSERT_TRUE(store_->create_fused(SegmentId{7}, kFirst));
  create_private(8, Blocks::kFresh);
  EXPECT_THAT(store_->list(kFirst).value(),
              testing::UnorderedElementsAre(FoundSegment{SegmentKind::kFused, SegmentId{7}},
                                            FoundSegment{SegmentKind::kPrivate, SegmentId{8}}));
}

// Fail every operation in turn: the right error, no segment half made, no bytes lost.
TEST_F(SegmentsTest, EveryFailedOperationLeavesASegmentThatWorks) {
  for (FaultKind kind : {FaultKind::kOnce, FaultKind::kHalfWrite}) {
    for (std::uint64_t n = 1;; ++n) {
      auto memory = std::make_shared<MemoryDevice>(kGiB);
      auto plan = std::make_shared<FaultPlan>();
      devices_ = {std::make_shared<FaultyDevice>(memory, plan)};
      open();
      plan->fail_at(n, {.code = EIO, .kind = kind});
      auto segment = store_->create_private(SegmentId{1}, kFirst, kInode, Blocks::kMayRecycle);
      std::string expected;
      for (const std::string text : {"one", "two", "three"}) {
        if (!segment) break;
        if ((*segment)->write(as_bytes(text), (*segment)->length())) expected += text;
      }
      const bool trimmed = segment && (*segment)->trim();
      const bool fired = plan->fired();
      plan->clear();
      if (!fired) return;
      if (!segment) {
        EXPECT_EQ(segment.error().code, EIO);
        continue;
      }
      EXPECT_TRUE(trimmed || (*segment)->trim());
      EXPECT_EQ(read(**segment, 0, 100), expected) << n;
      EXPECT_EQ((*segment)->file()->status()->size, expected.size()) << n;
    }
  }
}

}  // namespace
}  // namespace spillfs::storage
