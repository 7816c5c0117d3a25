// SPDX-License-Identifier: Apache-2.0
#include "storage/write_behind.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>

#include "storage/memory_device.h"
#include "tests/support/held_device.h"

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kBatch = WriteBehind::kBatch;
constexpr InodeId kInode{42};

std::string some_bytes(std::size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
  return bytes;
}

class WriteBehindTest : public testing::Test {
 protected:
  void start(unsigned threads, std::uint64_t offset = 0) {
    pool_ = std::make_unique<WritePool>(threads);
    behind_ = std::make_unique<WriteBehind>(*staging_, *pool_, *file_, StagedPlace{kInode, offset});
  }
  // Appends in pieces of uneven size.
  void append(const std::string& text, std::size_t piece = 700001) {
    for (std::size_t at = 0; at < text.size(); at += piece) {
      ASSERT_TRUE(
          behind_->append(as_bytes(text).subspan(at).first(std::min(piece, text.size() - at))));
    }
  }
  std::string on_disk(std::size_t count) {
    std::string text(count, '?');
    text.resize(file_->read(std::as_writable_bytes(std::span(text)), 0).value());
    return text;
  }
  // What it still has of the bytes from `offset`; '?' where it has nothing.
  std::string staged(std::uint64_t offset, std::size_t count) {
    std::string text(count, '?');
    EXPECT_TRUE(behind_->read(std::as_writable_bytes(std::span(text)), offset));
    return text;
  }

  std::shared_ptr<tests::Gate> gate_ = std::make_shared<tests::Gate>();
  tests::HeldDevice device_{std::make_shared<MemoryDevice>(kGiB), gate_};
  std::shared_ptr<File> file_ = device_.create("segments/1.private").value();
  std::unique_ptr<Staging> staging_ = Staging::create(24 * kMiB).value();
  std::unique_ptr<WritePool> pool_;
  std::unique_ptr<WriteBehind> behind_;
};

TEST_F(WriteBehindTest, BytesReachTheDiskInTheirPlaces) {
  for (unsigned threads : {0U, 3U}) {
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{4096}, kBatch - 1, kBatch, kBatch + 1, 3 * kBatch + 12345}) {
      ASSERT_TRUE(file_->resize(0));
      start(threads);
      const std::string text = some_bytes(size, static_cast<unsigned>(size));
      for (std::size_t at = 0; at < size; at += 700001) {
        const Bytes piece =
            as_bytes(text).subspan(at).first(std::min<std::size_t>(700001, size - at));
        while (!behind_->append(piece)) std::this_thread::yield();
      }
      ASSERT_TRUE(behind_->drain());
      const std::string padding(round_up(size, kDirectAlignment) - size, '\0');
      EXPECT_TRUE(on_disk(size + 10000) == text + padding) << threads << " threads, " << size;
      behind_.reset();
      EXPECT_EQ(staging_->free_bytes(), staging_->size());
    }
  }
}

TEST_F(WriteBehindTest, GoesOnWhereTheStreamIs) {
  ASSERT_TRUE(file_->write(as_bytes(std::string(8192, 'a')), 0));
  start(0, 8192);
  append("bcd");
  EXPECT_EQ(staged(8190, 10), "??bcd?????");
  ASSERT_TRUE(behind_->drain());
  EXPECT_EQ(on_disk(8195), std::string(8192, 'a') + "bcd");
}

TEST_F(WriteBehindTest, ReadsWhatIsOnItsWay) {
  gate_->close();
  start(2);
  const std::string text = some_bytes(3 * kBatch + 100);
  append(text, kBatch);
  EXPECT_TRUE(staged(0, text.size()) == text);
  const std::uint64_t border = 2 * kBatch;
  EXPECT_EQ(staged(border - 5, 10), text.substr(border - 5, 10));
  EXPECT_EQ(staged(text.size() - 2, 4), text.substr(text.size() - 2) + "??");
  gate_->open();
  ASSERT_TRUE(behind_->drain());
  EXPECT_TRUE(staged(0, text.size()) == std::string(text.size(), '?')) << "it is on disk";
}

TEST_F(WriteBehindTest, RefusesWhatComesTooSoonAndTakesNothing) {
  gate_->close();
  start(1);
  const std::string text = some_bytes((WriteBehind::kDepth + 1) * kBatch);
  append(text.substr(0, text.size() - 10), kBatch);
  EXPECT_EQ(behind_->append(as_bytes(text.substr(text.size() - 10))).error().code, ENOBUFS);
  ASSERT_TRUE(behind_->append(as_bytes(text.substr(text.size() - 10, 9)))) << "a batch not full";
  EXPECT_EQ(behind_->append(as_bytes(text.substr(text.size() - 1))).error().code, ENOBUFS);
  gate_->open();
  while (!behind_->append(as_bytes(text.substr(text.size() - 1)))) std::this_thread::yield();
  ASSERT_TRUE(behind_->drain());
  EXPECT_TRUE(on_disk(text.size() + 1) == text);
}

TEST_F(WriteBehindTest, RefusesWhatTheArenaHasNoRoomFor) {
  staging_ = Staging::create(kBatch + Staging::kBlock).value();
  gate_->close();
  start(1);
  const std::string text = some_bytes(kBatch + 200000);
  append(text.substr(0, kBatch - 5), kBatch);
  EXPECT_EQ(behind_->append(as_bytes(text.substr(kBatch - 5))).error().code, ENOBUFS);
  EXPECT_TRUE(staged(0, kBatch) == text.substr(0, kBatch - 5) + "?????") << "nothing is taken";
  ASSERT_TRUE(behind_->append(as_bytes(text.substr(kBatch - 5, 5))));
  EXPECT_EQ(behind_->append(as_bytes(text.substr(kBatch))).error().code, ENOBUFS);
  gate_->open();
  while (!behind_->append(as_bytes(text.substr(kBatch)))) std::this_thread::yield();
  ASSERT_TRUE(behind_->drain());
  EXPECT_TRUE(on_disk(text.size()) == text);
}

// Whoever waited for a batch finds its blocks in the arena.
TEST_F(WriteBehindTest, GivesTheBlocksOfABatchBackBeforeItTells) {
  staging_ = Staging::create(kBatch).value();
  start(1);
  for (int i = 0; i < 20; ++i) {
    append("x");
    ASSERT_TRUE(behind_->drain());
    ASSERT_EQ(staging_->free_bytes(), staging_->size());
    behind_ = std::make_unique<WriteBehind>(*staging_, *pool_, *file_, StagedPlace{kInode, 0});
  }
}

TEST_F(WriteBehindTest, NoOldByteIsLeftBehindTheLast) {
  ASSERT_TRUE(file_->write(as_bytes(std::string(3 * kBatch, 's')), 0));  // another file's
  start(2);
  const std::string text = some_bytes(kBatch + 5000);
  append(text);
  ASSERT_TRUE(behind_->drain());
  const std::string found = on_disk(3 * kBatch);
  const std::size_t end = round_up(text.size(), kDirectAlignment);
  EXPECT_TRUE(found.substr(0, end) == text + std::string(end - text.size(), '\0'));
}

TEST_F(WriteBehindTest, AdoptsStagedBytes) {
  for (const std::size_t size : {std::size_t{3}, std::size_t{100000}, kBatch}) {
    const std::string text = some_bytes(size + kBatch);
    StagedFile file(*staging_, {kInode, 0});
    ASSERT_TRUE(file.write(as_bytes(text).first(size), 0));
    start(0);
    behind_->adopt(std::move(file));
    EXPECT_TRUE(staged(0, size) == text.substr(0, size));
    append(text.substr(size));
    ASSERT_TRUE(behind_->drain());
    EXPECT_TRUE(on_disk(text.size()) == text) << size;
  }
}

TEST_F(WriteBehindTest, FinishSaysWhetherItIsDone) {
  gate_->close();
  start(1);
  append("abc");
  EXPECT_FALSE(behind_->finishing());
  EXPECT_FALSE(behind_->finish().value());
  EXPECT_TRUE(behind_->finishing());
  EXPECT_EQ(staged(0, 3), "abc");
  EXPECT_FALSE(behind_->finish().value());
  gate_->open();
  while (!behind_->finish().value()) std::this_thread::yield();
  EXPECT_EQ(on_disk(5000), "abc" + std::string(4093, '\0'));
}

TEST_F(WriteBehindTest, AnErrorStays) {
  start(1);
  gate_->fail_with(EIO);
  append(some_bytes(kBatch), kBatch);
  EXPECT_EQ(behind_->drain().error().code, EIO);
  gate_->fail_with(0);
  std::string text(10, '?');
  EXPECT_EQ(behind_->append(as_bytes("x")).error().code, EIO);
  EXPECT_EQ(behind_->finish().error().code, EIO);
  EXPECT_EQ(behind_->drain().error().code, EIO);
  EXPECT_EQ(behind_->read(std::as_writable_bytes(std::span(text)), 0).error().code, EIO);
  EXPECT_EQ(staging_->free_bytes(), staging_->size() - kBatch) << "the next process has to know";
  behind_.reset();
  EXPECT_EQ(staging_->free_bytes(), staging_->size());
}

TEST_F(WriteBehindTest, ItsEndWaits) {
  gate_->close();
  start(2);
  const std::string text = some_bytes(2 * kBatch);
  append(text, kBatch);
  gate_->wait_for(2);
  std::jthread opener([this] { gate_->open(); });
  behind_.reset();
  EXPECT_TRUE(on_disk(text.size()) == text);
  EXPECT_EQ(staging_->free_bytes(), staging_->size());
}

}  // namespace
}  // namespace spillfs::storage
