// SPDX-License-Identifier: Apache-2.0
// Whatever bit of a segment flips, a reader gets the right bytes or an error, never others; scrub
// finds what no reader has, and what it found is not opened any more.
#include "tests/support/damage.h"

#include <gmock/gmock.h>

namespace spillfs::tests {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Damage : public DamagedStore {
 protected:
  void SetUp() override {
    open();
    small_ = write(kRootInode, "small", small_bytes_);
    next_ = write(kRootInode, "next", next_bytes_);
    large_ = write(kRootInode, "large", large_bytes_);
  }
  // A pass over everything, with what was found, a line each.
  std::string scrub() {
    std::string found;
    SegmentId position = kNoSegment;
    for (;;) {
      const auto step = volume_->scrub_next(position, {.pace = [](std::uint64_t) { return true; }});
      if (!step) {
        EXPECT_EQ(step.error().code, ENOENT) << describe(step.error());
        return found;
      }
      position = step->segment;
      bytes_ += step->bytes;
      for (const fs::Damage& damage : step->damage) {
        found += damage.segment + " " + std::to_string(damage.offset) + " " +
                 std::to_string(number(damage.inode)) + " " + damage.path + "\n";
      }
    }
  }
  std::string line(InodeId inode, std::uint64_t offset, const std::string& path) {
    const Location at = row(inode).location;
    const char* kind = at.placement == Placement::kFused ? ".fused " : ".private ";
    return std::to_string(number(at.segment)) + kind + std::to_string(offset) + " " +
           std::to_string(number(inode)) + " " + path + "\n";
  }
  static constexpr const char* kEio = "error 5";

  const std::string small_bytes_ = std::string(700, 's');
  const std::string next_bytes_ = std::string(3000, 'n');
  const std::string large_bytes_ = std::string(kMiB + 5000, 'l');
  InodeId small_{}, next_{}, large_{};
  std::uint64_t bytes_ = 0;
};

TEST_F(Damage, NoBitOfAFusedSegmentMakesAWrongByte) {
  const auto file = backing(small_);
  volume_.reset();
  const std::uint64_t size = file->status()->size;
  int harmed = 0;
  for (std::uint64_t at = 0; at < size; at += at < 64 ? 1 : 7) {
    flip(*file, at, static_cast<unsigned>(at % 8));
    open();
    const std::string small = read(small_);
    const std::string next = read(next_);
    EXPECT_THAT(small, AnyOf(small_bytes_, kEio)) << at;
    EXPECT_THAT(next, AnyOf(next_bytes_, kEio)) << at;
    if (small == kEio || next == kEio) ++harmed;
    volume_.reset();
    flip(*file, at, static_cast<unsigned>(at % 8));
  }
  EXPECT_GT(harmed, 500);
  open();
  EXPECT_EQ(read(small_), small_bytes_);
}

TEST_F(Damage, NoCutOfASegmentMakesAWrongByte) {
  const auto fused = backing(next_);
  const auto owned = backing(large_);
  for (std::uint64_t cut : {1, 4000}) {
    volume_.reset();
    ASSERT_TRUE(fused->resize(fused->status()->size - cut));
    ASSERT_TRUE(owned->resize(owned->status()->size - cut));
    open();
    EXPECT_EQ(read(small_), cut == 1 ? small_bytes_ : kEio);
    EXPECT_EQ(read(next_), kEio);
    EXPECT_EQ(read(large_), kEio);
  }
}

TEST_F(Damage, ScrubFindsNothingInAWholeStore) {
  EXPECT_EQ(scrub(), "");
  EXPECT_EQ(bytes_, small_bytes_.size() + next_bytes_.size() + large_bytes_.size());
}

TEST_F(Damage, ScrubFindsWhatReadersHaveNot) {
  flip_in(next_, 2999);
  flip_in(large_, kMiB + 4);
  EXPECT_EQ(scrub(),
            line(next_, row(next_).location.data_offset, "/next") + line(large_, kMiB, "/large"));
  EXPECT_EQ(volume_->status().damaged, 2U);
  EXPECT_EQ(read(small_), small_bytes_);
  for (int flags : {O_RDONLY, O_RDWR, O_WRONLY}) {
    EXPECT_EQ(volume_->open_file(large_, flags).error().code, EIO);
  }
}

TEST_F(Damage, OutlivesARestart) {
  flip_in(large_, 5);
  EXPECT_NE(scrub(), "");
  open();
  EXPECT_EQ(volume_->status().damaged, 1U);
  EXPECT_EQ(read(large_), kEio);
}

TEST_F(Damage, ADamagedFileIsNotLent) {
  int lent = 0;
  volume_->set_kernel(
      {.lend = [&](int) -> Result<int> { return ++lent; }, .take_back = [](int) {}});
  flip_in(large_, 5);
  const auto opened = volume_->open_file(large_, O_RDONLY).value();
  EXPECT_EQ(opened.mode, fs::IoMode::kPassthrough);  // nobody compares what the kernel reads
  ASSERT_TRUE(volume_->release(opened.handle));
  EXPECT_EQ(lent, 1);
  EXPECT_NE(scrub(), "");
  EXPECT_EQ(read(large_), kEio);
  EXPECT_EQ(lent, 1);
}

TEST_F(Damage, ADamagedFileCanBeEmptiedAndWrittenAgain) {
  flip_in(small_, 5);
  flip_in(large_, 5);
  EXPECT_NE(scrub(), "");
  for (InodeId inode : {small_, large_}) {
    const auto again = volume_->open_file(inode, O_WRONLY | O_TRUNC);
    ASSERT_TRUE(again) << describe(again.error());
    ASSERT_TRUE(volume_->write(again->handle, as_bytes("new"), 0));
    ASSERT_TRUE(volume_->release(again->handle));
    EXPECT_EQ(read(inode), "new");
  }
  EXPECT_EQ(volume_->status().damaged, 0U);
  open();
  EXPECT_EQ(volume_->status().damaged, 0U);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Damage, AFileThatIsGoneOnDiskCanBeEmptiedAndWrittenAgain) {
  ASSERT_TRUE(store_.devices[0]->remove(
      storage::segment_path(SegmentKind::kPrivate, row(large_).location.segment)));
  EXPECT_THAT(scrub(), HasSubstr("/large"));
  EXPECT_EQ(volume_->status().damaged, 0U);  // an open finds that out by itself
  EXPECT_EQ(read(large_), kEio);
  ASSERT_TRUE(volume_->set_attributes(large_, {.size = 0}));
  EXPECT_EQ(read(large_), "");
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Damage, UnlinkForgetsIt) {
  flip_in(small_, 5);
  EXPECT_NE(scrub(), "");
  ASSERT_TRUE(volume_->unlink(kRootInode, "small"));
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(volume_->status().damaged, 0U);
  open();
  EXPECT_EQ(volume_->status().damaged, 0U);
  EXPECT_EQ(scrub(), "");
}

TEST_F(Damage, AFileBroughtBackIsOpenedAgain) {
  flip_in(large_, 5);
  EXPECT_NE(scrub(), "");
  flip_in(large_, 5);
  EXPECT_EQ(scrub(), "");
  EXPECT_EQ(read(large_), large_bytes_);
  open();
  EXPECT_EQ(read(large_), large_bytes_);
}

TEST_F(Damage, ASuperblockIsToldWithoutAFile) {
  flip(*backing(small_), 20);
  EXPECT_EQ(scrub(), std::to_string(number(row(small_).location.segment)) + ".fused 0 0 \n");
}

TEST_F(Damage, WhatIsBeingChangedIsLeftAlone) {
  const auto open = volume_->open_file(large_, O_RDWR).value();
  ASSERT_TRUE(volume_->write(open.handle, as_bytes("changed"), 10));
  EXPECT_EQ(scrub(), "");
  EXPECT_EQ(bytes_, small_bytes_.size() + next_bytes_.size());
  ASSERT_TRUE(volume_->release(open.handle));
}

TEST_F(Damage, APassCanStopAndGoOnAfterARestart) {
  const auto stopped =
      volume_->scrub_next(kNoSegment, {.pace = [](std::uint64_t) { return false; }});
  EXPECT_EQ(stopped.error().code, ECANCELED);
  EXPECT_EQ(volume_->scrub_position().value(), kNoSegment);
  for (std::uint64_t position : {3, 9, 9}) {
    ASSERT_TRUE(volume_->keep_scrub(SegmentId{position}, {}));
  }
  open();
  EXPECT_EQ(volume_->scrub_position().value(), SegmentId{9});
  ASSERT_TRUE(volume_->keep_scrub(kNoSegment, {}));
  EXPECT_EQ(volume_->scrub_position().value(), kNoSegment);
}

}  // namespace
}  // namespace spillfs::tests
