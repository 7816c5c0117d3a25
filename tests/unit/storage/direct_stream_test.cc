// SPDX-License-Identifier: Apache-2.0
// Private segments whose streams are written past the page cache.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "storage/memory_device.h"
#include "storage/segments.h"
#include "tests/support/held_device.h"

namespace spillfs::storage {
namespace {

constexpr DirectoryId kFirst{0};
constexpr InodeId kInode{42};
constexpr std::uint64_t kBatch = WriteBehind::kBatch;

std::string some_bytes(std::size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>('a' + random() % 8); });
  return bytes;
}

class DirectStreamTest : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    std::vector<std::unique_ptr<Device>> devices;
    devices.push_back(std::make_unique<tests::HeldDevice>(memory_, gate_));
    store_ =
        SegmentStore::open(std::move(devices), {}, {.segment_size = kMiB, .first_directory = 0})
            .value();
  }

  // Over the blocks of a dead segment of `old` bytes, all 'S', where there are any.
  std::unique_ptr<PrivateSegment> start(std::size_t old = 0) {
    if (old != 0) {
      const SegmentId dead{next_++};
      auto first = store_->create_private(dead, kFirst, kInode, Blocks::kFresh).value();
      EXPECT_TRUE(first->write(as_bytes(std::string(old, 'S')), 0));
      first.reset();
      EXPECT_TRUE(store_->recycle(dead, kFirst));
    }
    auto segment =
        store_->create_private(SegmentId{next_++}, kFirst, kInode, Blocks::kMayRecycle).value();
    segment->write_directly(*staging_, pool_, kInode);
    return segment;
  }
  static void append(PrivateSegment& segment, const std::string& text, std::size_t piece = 300001) {
    for (std::size_t at = 0; at < text.size(); at += piece) {
      const Bytes part = as_bytes(text).subspan(at).first(std::min(piece, text.size() - at));
      ASSERT_TRUE(segment.write(part, segment.length()));
    }
  }
  static std::string read(PrivateSegment& segment, std::uint64_t offset, std::size_t count) {
    std::string text(count, '?');
    const auto got = segment.read(std::as_writable_bytes(std::span(text)), offset);
    if (!got) return "error " + std::to_string(got.error().code);
    text.resize(*got);
    return text;
  }
  // Sealed: exactly its bytes are in the backing file.
  static void expect_sealed(PrivateSegment& segment, const std::string& text) {
    ASSERT_TRUE(segment.trim());
    EXPECT_EQ(segment.length(), text.size());
    EXPECT_EQ(segment.file()->status()->size, text.size());
    EXPECT_EQ(segment.allocated().value(), round_up(text.size(), 4096));
    EXPECT_TRUE(read(segment, 0, text.size() + 1) == text);
    std::string found(text.size() + 1, '?');
    found.resize(segment.file()->read(std::as_writable_bytes(std::span(found)), 0).value());
    EXPECT_TRUE(found == text);
    EXPECT_EQ(segment.sums().value(), chunk_sums(as_bytes(text)));
  }

  std::shared_ptr<MemoryDevice> memory_ = std::make_shared<MemoryDevice>(kGiB);
  std::shared_ptr<tests::Gate> gate_ = std::make_shared<tests::Gate>();
  std::unique_ptr<SegmentStore> store_;
  std::unique_ptr<Staging> staging_ = Staging::create(24 * kMiB).value();
  WritePool pool_{GetParam()};
  std::uint64_t next_ = 1;
};

TEST_P(DirectStreamTest, OldBytesAreNeverSeen) {
  for (const std::size_t old : {std::size_t{0}, std::size_t{50000}, 2 * kBatch + 777}) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, std::size_t{70001}, kBatch,
                                   kBatch + 1, kBatch + 4096}) {
      auto segment = start(old);
      const std::string text = some_bytes(size);
      append(*segment, text);
      EXPECT_TRUE(read(*segment, 0, size + 5000) == text) << old << " old, " << size;
      expect_sealed(*segment, text);
      if (HasFailure()) FAIL() << old << " old, " << size;
    }
  }
}

TEST_P(DirectStreamTest, AHoleOverOldBytesReadsAsZeros) {
  auto segment = start(3 * kBatch);
  append(*segment, "new");
  ASSERT_TRUE(segment->write(as_bytes("far"), 2 * kBatch));
  EXPECT_FALSE(segment->streaming());
  EXPECT_TRUE(read(*segment, 0, 3 * kBatch) == "new" + std::string(2 * kBatch - 3, '\0') + "far");
}

TEST_P(DirectStreamTest, GoesOnAfterASeal) {
  for (const std::size_t first :
       {std::size_t{4096}, std::size_t{5000}, kBatch, kBatch + 8192, kBatch + 1}) {
    for (const std::size_t second : {std::size_t{1}, std::size_t{4096}, kBatch + 100}) {
      auto segment = start(3 * kBatch);
      std::string text = some_bytes(first, 1);
      append(*segment, text);
      while (!segment->settle().value()) std::this_thread::yield();
      expect_sealed(*segment, text);
      for (unsigned round = 2; round < 5; ++round) {
        const std::string more = some_bytes(second, round);
        append(*segment, more);
        text += more;
        EXPECT_TRUE(read(*segment, 0, text.size() + 1) == text);
        expect_sealed(*segment, text);
      }
      if (HasFailure()) FAIL() << first << " and " << second;
    }
  }
}

// A settle that nobody waited for, and the writer goes on.
TEST_P(DirectStreamTest, GoesOnWhileItSettles) {
  for (const std::size_t first : {std::size_t{5000}, std::size_t{8192}}) {
    auto segment = start(kBatch);
    std::string text = some_bytes(first, 1);
    append(*segment, text);
    EXPECT_TRUE(segment->settle());
    append(*segment, "and more");
    text += "and more";
    EXPECT_TRUE(read(*segment, 0, text.size() + 1) == text);
    expect_sealed(*segment, text);
  }
}

TEST_P(DirectStreamTest, TruncatedToNothingItStartsAgain) {
  auto segment = start(kBatch);
  append(*segment, some_bytes(kBatch + 5));
  ASSERT_TRUE(segment->truncate(0));
  EXPECT_TRUE(segment->streaming());
  append(*segment, "again");
  expect_sealed(*segment, "again");
}

TEST_P(DirectStreamTest, ChangesInPlaceAfterAll) {
  auto segment = start(3 * kBatch);
  std::string text = some_bytes(2 * kBatch + 10);
  append(*segment, text);
  ASSERT_TRUE(segment->write(as_bytes("changed"), kBatch - 3));
  text.replace(kBatch - 3, 7, "changed");
  append(*segment, "end");
  text += "end";
  EXPECT_TRUE(read(*segment, 0, text.size() + 1) == text);
  ASSERT_TRUE(segment->trim());
  EXPECT_EQ(segment->file()->status()->size, text.size());
  EXPECT_FALSE(segment->sums());
}

// A process that finds them knows where they belong.
TEST_P(DirectStreamTest, ItsBlocksSayWhoseTheyAre) {
  auto segment = start();
  append(*segment, std::string(8192, 'a'));
  ASSERT_TRUE(segment->trim());
  append(*segment, std::string(Staging::kBlock + 1, 'b'));
  const auto found = Staging::reopen(Fd(::dup(staging_->descriptor())), staging_->size()).value();
  const std::vector<Staging::Left> left = found->left();
  ASSERT_EQ(left.size(), 2U);
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].inode, kInode);
    EXPECT_EQ(left[i].offset, 8192 + i * Staging::kBlock);
  }
}

TEST_P(DirectStreamTest, AdoptsOrLeavesStagedBytes) {
  const std::string text = some_bytes(100000);
  StagedFile staged(*staging_, {kInode, 0});
  ASSERT_TRUE(staged.write(as_bytes(text), 0));
  {
    const DeviceSpace space = memory_->space().value();
    auto hog = memory_->create("hog").value();
    auto segment = start();
    ASSERT_TRUE(hog->allocate(AllocateMode::kExtend, 0, space.free));
    EXPECT_EQ(segment->adopt(staged).error().code, ENOSPC);
    EXPECT_EQ(staged.size(), text.size()) << "it is still the caller's";
    ASSERT_TRUE(memory_->remove("hog"));
  }
  auto segment = start();
  ASSERT_TRUE(segment->adopt(staged));
  EXPECT_TRUE(read(*segment, 0, text.size()) == text);
  append(*segment, "more");
  expect_sealed(*segment, text + "more");
}

TEST_P(DirectStreamTest, WhatIsLostIsToldAndNeverRead) {
  auto segment = start(2 * kBatch);
  append(*segment, some_bytes(kBatch - 100));
  gate_->fail_with(EIO);
  ASSERT_TRUE(segment->write(as_bytes(std::string(200, 'x')), segment->length()));
  EXPECT_EQ(segment->trim().error().code, EIO);
  gate_->fail_with(0);
  EXPECT_EQ(read(*segment, 0, 10), "error 5");
  EXPECT_EQ(segment->write(as_bytes("x"), segment->length()).error().code, EIO);
  EXPECT_EQ(segment->write(as_bytes("x"), 0).error().code, EIO);
  EXPECT_EQ(segment->settle().error().code, EIO);
  EXPECT_EQ(segment->trim().error().code, EIO);
  EXPECT_EQ(segment->truncate(0).error().code, EIO);
}

INSTANTIATE_TEST_SUITE_P(Threads, DirectStreamTest, testing::Values(0U, 3U),
                         [](const auto& threads) { return "of" + std::to_string(threads.param); });

class HeldStreamTest : public DirectStreamTest {};

TEST_P(HeldStreamTest, ASlowDiskIsNotWaitedFor) {
  auto segment = start();
  gate_->close();
  const std::string text = some_bytes(kBatch);
  std::string all;
  for (;;) {
    const auto written =
        segment->write(as_bytes(text).first(kMiB), segment->length(), DiskWait::kCallAgain);
    if (!written) {
      EXPECT_EQ(written.error().code, ENOBUFS);
      break;
    }
    all += text.substr(0, kMiB);
    ASSERT_LE(all.size(), (WriteBehind::kDepth + 2) * kBatch);
  }
  EXPECT_EQ(segment->length(), all.size());
  EXPECT_FALSE(segment->settle().value());
  EXPECT_EQ(segment->write(as_bytes("x"), segment->length(), DiskWait::kCallAgain).error().code,
            ENOBUFS);
  EXPECT_TRUE(read(*segment, 0, all.size() + 1) == all);
  EXPECT_EQ(segment->seek(SeekKind::kData, 5).value(), 5U);
  EXPECT_EQ(segment->seek(SeekKind::kHole, 5).value(), all.size());
  gate_->open();
  while (!segment->settle().value()) std::this_thread::yield();
  append(*segment, "x");
  expect_sealed(*segment, all + "x");
}

INSTANTIATE_TEST_SUITE_P(Threads, HeldStreamTest, testing::Values(1U, 3U),
                         [](const auto& threads) { return "of" + std::to_string(threads.param); });

}  // namespace
}  // namespace spillfs::storage
