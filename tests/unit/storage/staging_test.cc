// SPDX-License-Identifier: Apache-2.0
#include "storage/staging.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace spillfs::storage {
namespace {

std::string text_of(const StagedFile& file) {
  std::string text;
  for (Bytes span : file.spans()) text += as_text(span);
  return text;
}

TEST(Staging, HoldsBytesInOrder) {
  auto staging = Staging::create(kMiB).value();
  StagedFile file(*staging);
  ASSERT_TRUE(file.write(as_bytes("hello"), 0));
  ASSERT_TRUE(file.write(as_bytes("LLO you"), 2));
  EXPECT_EQ(text_of(file), "heLLO you");
  EXPECT_EQ(file.write(as_bytes("x"), 10).error().code, EINVAL);
  ASSERT_TRUE(file.truncate(2));
  EXPECT_EQ(text_of(file), "he");
  EXPECT_EQ(file.truncate(3).error().code, EINVAL);
}

TEST(Staging, RefusesWhatDoesNotFitAndTakesNothing) {
  auto staging = Staging::create(4 * Staging::kBlock).value();
  StagedFile first(*staging);
  StagedFile second(*staging);
  ASSERT_TRUE(first.write(as_bytes(std::string(3 * Staging::kBlock, 'a')), 0));
  EXPECT_EQ(second.write(as_bytes(std::string(2 * Staging::kBlock, 'b')), 0).error().code, ENOBUFS);
  EXPECT_EQ(second.size(), 0U);
  EXPECT_EQ(staging->free_bytes(), Staging::kBlock);
  ASSERT_TRUE(first.truncate(Staging::kBlock));
  ASSERT_TRUE(second.write(as_bytes(std::string(2 * Staging::kBlock, 'b')), 0));
  EXPECT_EQ(text_of(first), std::string(Staging::kBlock, 'a'));
}

TEST(Staging, GivesBlocksBackWhenAFileGoesOrMoves) {
  auto staging = Staging::create(4 * Staging::kBlock).value();
  {
    StagedFile file(*staging);
    ASSERT_TRUE(file.write(as_bytes("x"), 0));
    StagedFile moved(std::move(file));
    EXPECT_EQ(text_of(moved), "x");
    EXPECT_EQ(staging->free_bytes(), 3 * Staging::kBlock);
  }
  EXPECT_EQ(staging->free_bytes(), 4 * Staging::kBlock);
}

TEST(Staging, RandomWritesMatchAString) {
  auto staging = Staging::create(2 * kMiB).value();
  StagedFile file(*staging);
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
  constexpr std::uint64_t kBlock = Staging::kBlock;
  auto staging = Staging::create(4 * kBlock).value();
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095},
                                   std::uint64_t{4096}, kBlock - 1, kBlock, kBlock + 1}) {
    StagedFile old(*staging);
    ASSERT_TRUE(old.write(as_bytes(std::string(4 * kBlock, 's')), 0));
    ASSERT_TRUE(old.truncate(0));
    StagedFile file(*staging);
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
  auto staging = Staging::create(64 * Staging::kBlock).value();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        StagedFile file(*staging);
        const std::string text(Staging::kBlock * 3, static_cast<char>('a' + t));
        ASSERT_TRUE(file.write(as_bytes(text), 0));
        ASSERT_EQ(text_of(file), text);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(staging->free_bytes(), staging->size());
}

}  // namespace
}  // namespace spillfs::storage
