// SPDX-License-Identifier: Apache-2.0
#include "storage/staging.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <functional>
#include <random>
#include <thread>

#include "storage/memory_device.h"
#include "storage/write_behind.h"
#include "tests/support/held_device.h"

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kBlock = Staging::kBlock;
constexpr StagedPlace kPlace{InodeId{42}, 0};

std::string text_of(const StagedFile& file) {
  std::string text;
  for (Bytes span : file.spans()) text += as_text(span);
  return text;
}

TEST(Staging, HoldsBytesInOrder) {
  auto staging = Staging::create(kMiB).value();
  StagedFile file(*staging, kPlace);
  ASSERT_TRUE(file.write(as_bytes("hello"), 0));
  ASSERT_TRUE(file.write(as_bytes("LLO you"), 2));
  EXPECT_EQ(text_of(file), "heLLO you");
  EXPECT_EQ(file.write(as_bytes("x"), 10).error().code, EINVAL);
  ASSERT_TRUE(file.truncate(2));
  EXPECT_EQ(text_of(file), "he");
  EXPECT_EQ(file.truncate(3).error().code, EINVAL);
}

TEST(Staging, RefusesWhatDoesNotFitAndTakesNothing) {
  auto staging = Staging::create(4 * kBlock).value();
  StagedFile first(*staging, kPlace);
  StagedFile second(*staging, kPlace);
  ASSERT_TRUE(first.write(as_bytes(std::string(3 * kBlock, 'a')), 0));
  EXPECT_EQ(second.write(as_bytes(std::string(2 * kBlock, 'b')), 0).error().code, ENOBUFS);
  EXPECT_EQ(second.size(), 0U);
  EXPECT_EQ(staging->free_bytes(), kBlock);
  ASSERT_TRUE(first.truncate(kBlock));
  ASSERT_TRUE(second.write(as_bytes(std::string(2 * kBlock, 'b')), 0));
  EXPECT_EQ(text_of(first), std::string(kBlock, 'a'));
}

TEST(Staging, GivesBlocksBackWhenAFileGoesOrMoves) {
  auto staging = Staging::create(4 * kBlock).value();
  {
    StagedFile file(*staging, kPlace);
    ASSERT_TRUE(file.write(as_bytes("x"), 0));
    StagedFile moved(std::move(file));
    EXPECT_EQ(text_of(moved), "x");
    EXPECT_EQ(staging->free_bytes(), 3 * kBlock);
  }
  EXPECT_EQ(staging->free_bytes(), 4 * kBlock);
}

TEST(Staging, RandomWritesMatchAString) {
  auto staging = Staging::create(2 * kMiB).value();
  StagedFile file(*staging, kPlace);
  std::string expected;
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::size_t offset = random() % (expected.size() + 1);
    const std::string piece(1 + random() % 5000, static_cast<char>('a' + i % 26));
    if (offset + piece.size() > kMiB) {
      const std::size_t cut = random() % expected.size();
      ASSERT_TRUE(file.truncate(cut));
      expected.resize(cut);
      continue;
    }
    ASSERT_TRUE(file.write(as_bytes(piece), offset));
    expected.resize(std::max(expected.size(), offset + piece.size()));
    expected.replace(offset, piece.size(), piece);
    std::string got(1000, '?');
    const std::size_t at = random() % expected.size();
    got.resize(file.read(std::as_writable_bytes(std::span(got)), at));
    ASSERT_EQ(got, expected.substr(at, 1000));
  }
  EXPECT_EQ(text_of(file), expected);
}

TEST(Staging, PaddedSpansEndWithZeros) {
  auto staging = Staging::create(4 * kBlock).value();
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095},
                                   std::uint64_t{4096}, kBlock - 1, kBlock, kBlock + 1}) {
    StagedFile old(*staging, kPlace);
    ASSERT_TRUE(old.write(as_bytes(std::string(4 * kBlock, 's')), 0));
    ASSERT_TRUE(old.truncate(0));
    StagedFile file(*staging, kPlace);
    ASSERT_TRUE(file.write(as_bytes(std::string(size, 'x')), 0));
    std::string text;
    for (Bytes span : file.padded_spans(4096)) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(span.data()) % 4096, 0U);
      EXPECT_EQ(span.size() % 4096, 0U);
      text += as_text(span);
    }
    EXPECT_EQ(text, std::string(size, 'x') + std::string(round_up(size, 4096) - size, '\0'));
    EXPECT_EQ(text_of(file), std::string(size, 'x'));
  }
}

TEST(Staging, ThreadsShareTheArena) {
  auto staging = Staging::create(64 * kBlock).value();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        StagedFile file(*staging, kPlace);
        const std::string text(kBlock * 3, static_cast<char>('a' + t));
        ASSERT_TRUE(file.write(as_bytes(text), 0));
        ASSERT_EQ(text_of(file), text);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(staging->free_bytes(), staging->size());
}

// The supervisor's side: it has the memfd, and the processes that use it die.
class LeftInStaging : public testing::Test {
 protected:
  static constexpr std::uint64_t kSize = 8 * kBlock;

  [[nodiscard]] Fd memory() const { return Fd(::dup(memory_.get())); }
  // Runs `work` on a new arena in a process of its own; returns its id.
  [[nodiscard]] pid_t start(const std::function<void(Staging&)>& work) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto staging = Staging::create(memory(), kSize).value();
    work(*staging);
    ::_exit(1);
  }
  static void expect_killed(pid_t child) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
  }
  static void die() { ::kill(::getpid(), SIGKILL); }
  // What is left by a process whose `work` ends with die().
  [[nodiscard]] std::unique_ptr<Staging> left_by(const std::function<void(Staging&)>& work) const {
    expect_killed(start(work));
    return Staging::reopen(memory(), kSize).value();
  }
  // Leaves 'a' and 'b' in two whole blocks of inode 42 and "cd" behind them.
  std::unique_ptr<Staging> three_left() const {
    return left_by([](Staging& staging) {
      StagedFile file(staging, kPlace);
      const std::string text = std::string(kBlock, 'a') + std::string(kBlock, 'b') + "cd";
      if (file.write(as_bytes(text), 0)) die();
    });
  }

  const Fd memory_{::memfd_create("spillfs-test", MFD_CLOEXEC)};
};

TEST_F(LeftInStaging, SaysWhoseTheBlocksAre) {
  const auto staging = left_by([](Staging& made) {
    StagedFile later(made, {InodeId{7}, 5 * kBlock + 4096});
    StagedFile other(made, {InodeId{9}, 0});
    StagedFile first(made, {InodeId{7}, 0});
    StagedFile gone(made, {InodeId{8}, 0});
    if (!later.write(as_bytes(std::string(kBlock + 1, 'l')), 0)) return;
    if (!gone.write(as_bytes("gone"), 0)) return;
    if (!other.write(as_bytes("other"), 0)) return;
    if (gone.truncate(0) && first.write(as_bytes("first"), 0)) die();
  });
  const std::vector<Staging::Left> left = staging->left();
  ASSERT_EQ(left.size(), 4U);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> places{
      {7, 0}, {7, 5 * kBlock + 4096}, {7, 6 * kBlock + 4096}, {9, 0}};
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(std::pair(number(left[i].inode), left[i].offset), places[i]);
    EXPECT_EQ(staging->bytes(left[i]).size(), kBlock);
  }
  EXPECT_EQ(as_text(staging->bytes(left[0]).first(5)), "first");
  EXPECT_EQ(as_text(staging->bytes(left[1])), std::string(kBlock, 'l'));
  EXPECT_EQ(as_text(staging->bytes(left[2]).first(1)), "l");
  EXPECT_EQ(as_text(staging->bytes(left[3]).first(5)), "other");
  EXPECT_EQ(staging->free_bytes(), kSize - 4 * kBlock);
}

TEST_F(LeftInStaging, IsNotGivenToAnother) {
  const auto staging = three_left();
  StagedFile file(*staging, {InodeId{43}, 0});
  EXPECT_EQ(file.write(as_bytes(std::string(6 * kBlock, 'x')), 0).error().code, ENOBUFS);
  ASSERT_TRUE(file.write(as_bytes(std::string(5 * kBlock, 'x')), 0));
  EXPECT_EQ(staging->free_bytes(), 0U);
  EXPECT_EQ(as_text(staging->bytes(staging->left()[1])), std::string(kBlock, 'b'));
}

TEST_F(LeftInStaging, GoesOnAsAFile) {
  const auto staging = three_left();
  auto file = StagedFile::resume(*staging, kPlace, staging->left(), 2 * kBlock + 2).value();
  EXPECT_TRUE(staging->left().empty());
  EXPECT_EQ(staging->free_bytes(), kSize - 3 * kBlock);
  const std::string text = std::string(kBlock, 'a') + std::string(kBlock, 'b') + "cd";
  EXPECT_EQ(text_of(file), text);
  ASSERT_TRUE(file.write(as_bytes(std::string(kBlock, 'e')), file.size()));
  EXPECT_EQ(text_of(file), text + std::string(kBlock, 'e'));
  const auto again = Staging::reopen(memory(), kSize).value();
  ASSERT_EQ(again->left().size(), 4U) << "it is found when this process dies, too";
  EXPECT_EQ(again->left()[3].offset, 3 * kBlock);
}

TEST_F(LeftInStaging, IsGivenBackBehindTheSize) {
  const auto staging = three_left();
  {
    const auto file = StagedFile::resume(*staging, kPlace, staging->left(), kBlock - 1).value();
    EXPECT_EQ(text_of(file), std::string(kBlock - 1, 'a'));
    EXPECT_EQ(staging->free_bytes(), kSize - kBlock);
  }
  EXPECT_EQ(staging->free_bytes(), kSize);
  EXPECT_TRUE(Staging::reopen(memory(), kSize).value()->left().empty());
}

TEST_F(LeftInStaging, IsNotResumedWhereBytesAreMissing) {
  const auto staging = three_left();
  const std::vector<Staging::Left> left = staging->left();
  const auto resume = [&](StagedPlace place, std::vector<Staging::Left> blocks,
                          std::uint64_t size) {
    const auto file = StagedFile::resume(*staging, place, blocks, size);
    return file ? 0 : file.error().code;
  };
  EXPECT_EQ(resume(kPlace, left, 3 * kBlock + 1), EINVAL);
  EXPECT_EQ(resume(kPlace, left, UINT64_MAX), EINVAL);
  EXPECT_EQ(resume({kPlace.inode, kBlock}, left, kBlock), EINVAL) << "begins elsewhere";
  EXPECT_EQ(resume({InodeId{43}, 0}, left, kBlock), EINVAL) << "another's";
  EXPECT_EQ(resume(kPlace, {left[0], left[2]}, kBlock + 1), EINVAL) << "a gap";
  EXPECT_EQ(resume(kPlace, {left[1], left[0]}, kBlock + 1), EINVAL) << "out of order";
  Staging::Left wrong = left[1];
  wrong.block = 7;
  EXPECT_EQ(resume(kPlace, {left[0], wrong}, kBlock + 1), EINVAL) << "nobody left it";
  EXPECT_EQ(staging->left(), left);
  EXPECT_EQ(resume({kPlace.inode, kBlock}, {left[1], left[2]}, kBlock + 2), 0);
}

TEST_F(LeftInStaging, IsFreeWhenGivenBack) {
  const auto staging = three_left();
  const std::vector<Staging::Left> left = staging->left();
  staging->give_back(std::span(left).subspan(1));
  EXPECT_EQ(staging->left(), std::vector(1, left[0]));
  EXPECT_EQ(staging->free_bytes(), kSize - kBlock);
  staging->give_back(std::span(left).subspan(1));
  EXPECT_EQ(staging->free_bytes(), kSize - kBlock) << "once";
  EXPECT_EQ(Staging::reopen(memory(), kSize).value()->left(), std::vector(1, left[0]));
}

TEST_F(LeftInStaging, IsForgottenByANewArena) {
  three_left();
  for (const std::uint64_t size : {kSize, kSize / 2, 2 * kSize}) {
    const auto staging = Staging::create(memory(), size).value();
    EXPECT_TRUE(staging->left().empty());
    EXPECT_EQ(staging->free_bytes(), size);
    EXPECT_TRUE(Staging::reopen(memory(), size).value()->left().empty());
  }
}

TEST_F(LeftInStaging, IsRefusedInAnotherSize) {
  three_left();
  for (const std::uint64_t size : {kSize - kBlock, kSize + 1, std::uint64_t{0}}) {
    EXPECT_EQ(Staging::reopen(memory(), size).error().code, EINVAL) << size;
  }
  EXPECT_EQ(Staging::reopen(memory(), kSize - 1).value()->left().size(), 3U) << "rounded up";
}

// Whenever the process dies: what is found begins at the file's first byte and has no gap, and all
// but the last block is whole.
TEST_F(LeftInStaging, IsWholeWheneverTheProcessDies) {
  std::mt19937 random(1);
  std::size_t found = 0;
  for (int round = 0; round < 40; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd from_child(ends[0]);
    Fd to_parent(ends[1]);
    const pid_t child = start([&](Staging& staging) {
      for (std::uint64_t inode = 1;; ++inode) {
        StagedFile file(staging, {InodeId{inode}, 0});
        for (char c = 'a'; c < 'i'; ++c) {
          if (!file.write(as_bytes(std::string(kBlock, c)), file.size())) ::_exit(1);
        }
        if (inode == 1 && ::write(to_parent.get(), "x", 1) != 1) ::_exit(1);
      }
    });
    to_parent.reset();
    char begun = 0;
    ASSERT_EQ(::read(from_child.get(), &begun, 1), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
    ::kill(child, SIGKILL);
    expect_killed(child);
    const auto staging = Staging::reopen(memory(), kSize).value();
    const std::vector<Staging::Left> left = staging->left();
    for (std::size_t i = 0; i < left.size(); ++i) {
      ASSERT_EQ(left[i].inode, left[0].inode);
      ASSERT_EQ(left[i].offset, i * kBlock);
      const std::string whole(kBlock, static_cast<char>('a' + i));
      const bool is_last = i + 1 == left.size();
      ASSERT_TRUE(is_last || as_text(staging->bytes(left[i])) == whole) << i;
    }
    found += left.size();
  }
  EXPECT_GT(found, 0U);
}

// A stream's blocks are found as long as the disk does not have them.
TEST_F(LeftInStaging, HasWhatTheDiskDoesNot) {
  constexpr std::uint64_t kStart = 8192;
  constexpr std::uint64_t kBatch = WriteBehind::kBatch;
  constexpr std::uint64_t kArena = 4 * kBatch;
  const auto staging = Staging::create(memory(), kArena).value();
  const auto gate = std::make_shared<tests::Gate>();
  tests::HeldDevice device(std::make_shared<MemoryDevice>(kGiB), gate);
  const auto file = device.create("segments/1.private").value();
  gate->close();
  WritePool pool(1);
  WriteBehind behind(*staging, pool, *file, {InodeId{42}, kStart});
  std::string text;
  for (char c = 'a'; c < 'e'; ++c) text += std::string(kBatch / 2 + 1, c);
  constexpr std::size_t kPiece = 700001;
  for (std::size_t at = 0; at < text.size(); at += kPiece) {
    const std::size_t count = std::min(kPiece, text.size() - at);
    EXPECT_TRUE(behind.append(as_bytes(text).subspan(at, count)));
  }
  gate->wait_for(1);
  {
    const auto found = Staging::reopen(memory(), kArena).value();
    const std::vector<Staging::Left> left = found->left();
    EXPECT_EQ(left.size(), 2 * kBatch / kBlock + 1);
    std::string staged;
    for (std::size_t i = 0; i < left.size(); ++i) {
      EXPECT_EQ(left[i].inode, InodeId{42});
      EXPECT_EQ(left[i].offset, kStart + i * kBlock);
      staged += as_text(found->bytes(left[i]));
    }
    EXPECT_TRUE(staged.substr(0, text.size()) == text);
  }
  gate->open();
  EXPECT_TRUE(behind.drain());
  EXPECT_TRUE(Staging::reopen(memory(), kArena).value()->left().empty());
}

}  // namespace
}  // namespace spillfs::storage
