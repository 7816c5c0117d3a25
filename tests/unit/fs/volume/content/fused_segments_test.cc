// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/fused_segments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FusedSegmentsTest : public testing::Test {
 protected:
  Result<Location> append(std::size_t size) {
    const std::string text(size, 'x');
    const std::array payload{as_bytes(text)};
    storage::RecordInfo info{.inode = InodeId{7}, .path = "/x"};
    storage::measure(info, payload);
    return fused_.append(info, payload);
  }
  Location committed(std::size_t size) {
    const Location at = append(size).value();
    fused_.commit(at);
    EXPECT_TRUE(store_.index->commit(
        {.segments = {{.segment = at.segment,
                       .bytes = static_cast<std::int64_t>(at.record_length),
                       .live = static_cast<std::int64_t>(at.record_length)}}}));
    return at;
  }

  TestStore store_{2, 4 * kMiB};
  std::unique_ptr<storage::SegmentStore> segments_ = store_.segments();
  fs::Numbers numbers_{*store_.index};
  fs::Space space_{0};
  fs::FusedSegments fused_{*segments_, *store_.index, numbers_, space_};
};

TEST_F(FusedSegmentsTest, FillsASegmentAndTakesTheNext) {
  const Location first = committed(100 * kKiB);
  const Location second = committed(100 * kKiB);
  const Location third = committed(100 * kKiB);
  EXPECT_EQ(second.segment, first.segment);
  EXPECT_NE(third.segment, first.segment);
  EXPECT_NE(third.directory, first.directory);
  const auto totals = fused_.totals();
  EXPECT_EQ(totals.segments, 2U);
  EXPECT_EQ(totals.bytes, 3 * first.record_length);
  EXPECT_EQ(totals.live, totals.bytes);
  const auto opening = store_.index->queue(index::QueueKind::kOpening, 0, 10).value();
  ASSERT_EQ(opening.size(), 1U) << "the full one is sealed";
  EXPECT_EQ(opening.front().id, number(third.segment));
}

TEST_F(FusedSegmentsTest, KnowsWhatIsEmptyAndWhatIsSparse) {
  const Location first = committed(120 * kKiB);
  const Location second = committed(100 * kKiB);
  fused_.kill(first);
  EXPECT_THAT(fused_.sparse(), IsEmpty()) << "it takes records still";
  ASSERT_TRUE(fused_.seal());
  EXPECT_THAT(fused_.sparse(), ElementsAre(first.segment));
  EXPECT_EQ(space_.dead(), first.record_length);
  fused_.kill(second);
  EXPECT_THAT(fused_.sparse(), IsEmpty());
  EXPECT_THAT(fused_.empty(), ElementsAre(first.segment));
  fused_.forget(first.segment, first.record_length + second.record_length);
  EXPECT_THAT(fused_.empty(), IsEmpty());
  EXPECT_EQ(space_.dead(), 0U);
}

TEST_F(FusedSegmentsTest, ARecordUnderWayKeepsItsSegment) {
  const Location under_way = append(kKiB).value();
  ASSERT_TRUE(fused_.seal());
  EXPECT_THAT(fused_.empty(), IsEmpty());
  fused_.abandon(under_way);
  EXPECT_THAT(fused_.empty(), ElementsAre(under_way.segment));
  EXPECT_EQ(space_.dead(), 0U) << "the index has never counted it";
}

TEST_F(FusedSegmentsTest, TheWorstTakesNoMoreRecords) {
  EXPECT_EQ(fused_.worst().value(), kNoSegment);
  const Location little = committed(kKiB);
  const Location much = committed(100 * kKiB);
  ASSERT_TRUE(fused_.seal());
  const Location most = committed(150 * kKiB);
  const Location live = committed(kKiB);
  EXPECT_EQ(fused_.worst().value(), kNoSegment) << "nothing is dead";
  fused_.kill(much);
  EXPECT_EQ(fused_.worst().value(), little.segment);
  fused_.kill(most);
  EXPECT_EQ(fused_.worst().value(), live.segment);
  EXPECT_NE(committed(kKiB).segment, live.segment);
  fused_.mark_damaged(live.segment, {.code = EIO, .context = "as a test says", .where = {}});
  EXPECT_EQ(fused_.worst().value(), little.segment);
  EXPECT_THAT(fused_.sparse(), ElementsAre(little.segment)) << "not the damaged one";
}

TEST_F(FusedSegmentsTest, LearnsFromTheIndexWhatThereIs) {
  const Location kept = committed(100 * kKiB);
  const Location dead = committed(130 * kKiB);
  ASSERT_TRUE(store_.index->commit(
      {.segments = {
           {.segment = dead.segment, .live = -static_cast<std::int64_t>(dead.record_length)}}}));
  fs::Space space(0);
  fs::FusedSegments next(*segments_, *store_.index, numbers_, space);
  ASSERT_TRUE(next.load());
  EXPECT_EQ(next.totals().bytes, kept.record_length + dead.record_length);
  EXPECT_EQ(next.totals().live, kept.record_length);
  EXPECT_EQ(space.dead(), dead.record_length);
  EXPECT_THAT(next.sparse(), ElementsAre(kept.segment));
}

TEST_F(FusedSegmentsTest, SaysWhenNoDirectoryHasRoom) {
  Result<Location> last = append(200 * kKiB);
  for (int i = 0; i != 100 && last; ++i) last = append(200 * kKiB);
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, ENOSPC);
  EXPECT_GT(fused_.totals().segments, 4 * kMiB / (256 * kKiB)) << "both directories were filled";
  const auto room = fused_.totals().live;
  EXPECT_FALSE(append(200 * kKiB));
  EXPECT_EQ(fused_.totals().live, room) << "what was not written is not live";
}

TEST_F(FusedSegmentsTest, ManyThreadsShareASegment) {
  constexpr int kEach = 50;
  std::vector<std::vector<Location>> placed(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : placed) {
      threads.emplace_back([&] {
        for (int i = 0; i != kEach; ++i) mine.push_back(committed(4 * kKiB));
      });
    }
  }
  std::set<std::pair<SegmentId, std::uint64_t>> places;
  for (const auto& mine : placed) {
    for (const Location& at : mine) places.emplace(at.segment, at.record_offset);
  }
  EXPECT_EQ(places.size(), placed.size() * kEach);
  EXPECT_EQ(fused_.totals().live, fused_.totals().bytes);
  for (const auto& mine : placed) {
    for (const Location& at : mine) fused_.kill(at);
  }
  EXPECT_EQ(fused_.totals().live, 0U);
  EXPECT_EQ(space_.dead(), fused_.totals().bytes);
}

}  // namespace
}  // namespace spillfs::tests
