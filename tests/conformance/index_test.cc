// SPDX-License-Identifier: Apache-2.0
// What every Index does, on each of them, with a good hash of names and with one that collides.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>
#include <set>

#include "index/codec.h"
#include "index/memory_index.h"
#include "index/rocksdb_index.h"
#include "storage/base/checksum.h"

namespace spillfs::index {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Kind {
  std::string name;
  bool rocksdb = false;
  HashForTests hash;  // none: the index's own
};

std::uint64_t weak_hash(std::string_view name, unsigned turn) {
  return 4711 + name.size() % 2 + 100 * turn;
}

// Every name has one hash, for as many turns as an attacker could ever want.
std::uint64_t one_hash(std::string_view name, unsigned turn) {
  return turn < 2 ? 4711 + turn : xxh3(as_bytes(name));
}

class IndexTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-index-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    reopen();
  }
  void TearDown() override {
    index_.reset();
    std::filesystem::remove_all(folder_);
  }
  // A MemoryIndex stays as it is.
  void reopen() {
    const Kind& kind = GetParam();
    if (kind.rocksdb) {
      index_.reset();
      index_ = RocksdbIndex::open(folder_, {.hash = kind.hash}).value();
    } else if (index_ == nullptr) {
      index_ = std::make_unique<MemoryIndex>(kind.hash);
    }
  }
  void commit(const Batch& batch) {
    const auto done = index_->commit(batch);
    ASSERT_TRUE(done) << describe(done.error());
  }
  void put(std::uint64_t parent, const std::string& name, std::uint64_t inode) {
    commit({.dentries = {{InodeId{parent}, name, std::pair(InodeId{inode}, S_IFREG)}}});
  }
  void drop(std::uint64_t parent, const std::string& name) {
    commit({.dentries = {{InodeId{parent}, name, std::nullopt}}});
  }
  std::uint64_t find(std::uint64_t parent, const std::string& name) {
    const auto found = index_->find(InodeId{parent}, name);
    EXPECT_EQ(found ? ENOENT : found.error().code, ENOENT);
    return found ? number(found->inode) : 0;
  }
  std::vector<Dentry> list(std::uint64_t parent, std::size_t page = 3) {
    std::vector<Dentry> all;
    for (;;) {
      const auto some =
          index_->list(InodeId{parent}, all.empty() ? 0 : all.back().cookie, page).value();
      if (some.empty()) return all;
      EXPECT_LE(some.size(), page);
      all.insert(all.end(), some.begin(), some.end());
    }
  }

  std::string folder_;
  std::unique_ptr<Index> index_;
};

Inode full_inode(std::uint64_t id) {
  return {.id = InodeId{id},
          .mode = S_IFREG | 0640,
          .links = 2,
          .uid = 3,
          .gid = 4,
          .device = 5,
          .size = 6,
          .charged = 7,
          .accessed = {8, 9},
          .modified = {-10, 11},
          .changed = {12, 13},
          .born = {14, 999999999},
          .location = {.placement = Placement::kFused,
                       .directory = DirectoryId{15},
                       .segment = SegmentId{16},
                       .record_offset = 17,
                       .record_length = 18,
                       .data_offset = 19,
                       .length = 20},
          .sums_valid = true,
          .has_xattrs = true,
          .parent = InodeId{21},
          .entries = 22,
          .text = std::string("t\0xt", 4)};
}

TEST_P(IndexTest, KeepsEveryFieldOfAnInode) {
  EXPECT_EQ(index_->inode(InodeId{5}).error().code, ENOENT);
  commit({.put_inodes = {full_inode(5), full_inode(7)}});
  reopen();
  EXPECT_EQ(index_->inode(InodeId{5}).value(), full_inode(5));
  EXPECT_THAT(index_->inodes(InodeId{5}, 10).value(), ElementsAre(full_inode(7)));
  commit({.erase_inodes = {InodeId{5}}});
  EXPECT_EQ(index_->inode(InodeId{5}).error().code, ENOENT);
}

TEST_P(IndexTest, FindsNames) {
  put(1, "a", 10);
  put(1, "b", 11);
  put(2, "a", 12);
  EXPECT_EQ(find(1, "a"), 10U);
  EXPECT_EQ(find(2, "a"), 12U);
  EXPECT_EQ(find(2, "b"), 0U);
  put(1, "a", 13);
  EXPECT_EQ(find(1, "a"), 13U);
  drop(1, "a");
  drop(1, "a");
  EXPECT_EQ(find(1, "a"), 0U);
  EXPECT_EQ(find(1, "b"), 11U);
}

TEST_P(IndexTest, ListsANameOnceUnderAStableCookie) {
  std::map<std::string, std::uint64_t> cookies;
  for (std::uint64_t i = 0; i < 100; ++i) put(1, "name" + std::to_string(i), 10 + i);
  put(2, "elsewhere", 5);
  std::uint64_t last = 0;
  for (const Dentry& dentry : list(1)) {
    EXPECT_GT(dentry.cookie, last);
    EXPECT_GE(dentry.cookie, 256U);
    EXPECT_LT(dentry.cookie, std::uint64_t{1} << 63);
    last = dentry.cookie;
    cookies[dentry.name] = dentry.cookie;
  }
  EXPECT_EQ(cookies.size(), 100U);
  for (int i = 0; i < 100; i += 2) drop(1, "name" + std::to_string(i));
  reopen();
  const auto left = list(1);
  EXPECT_EQ(left.size(), 50U);
  for (const Dentry& dentry : left) {
    EXPECT_EQ(dentry.cookie, cookies.at(dentry.name));
    EXPECT_EQ(index_->find(InodeId{1}, dentry.name).value(), dentry);
  }
}

TEST_P(IndexTest, ChangesOfNamesInABatchSeeEachOther) {
  put(1, "aa", 10);
  put(1, "bb", 11);
  const auto target = [](std::uint64_t id) { return std::pair(InodeId{id}, S_IFREG); };
  commit({.dentries = {{InodeId{1}, "aa", std::nullopt}, {InodeId{1}, "bb", target(10)}}});
  EXPECT_EQ(find(1, "aa"), 0U);
  EXPECT_EQ(find(1, "bb"), 10U);
  EXPECT_EQ(list(1).size(), 1U);
  commit({.dentries = {{InodeId{1}, "cc", target(12)},
                       {InodeId{1}, "bb", std::nullopt},
                       {InodeId{1}, "dd", target(13)},
                       {InodeId{1}, "cc", std::nullopt}}});
  EXPECT_EQ(list(1).size(), 1U);
  EXPECT_EQ(find(1, "dd"), 13U);
}

TEST_P(IndexTest, KeepsXattrsUntilTheInodeGoes) {
  const InodeId id{5};
  EXPECT_EQ(index_->xattr(id, "user.a").error().code, ENODATA);
  commit({.xattrs = {{id, "user.b", "2"}, {id, "user.a", std::string("\0x", 2)}}});
  commit({.xattrs = {{InodeId{6}, "user.c", ""}}});
  EXPECT_EQ(index_->xattr(id, "user.a").value(), std::string("\0x", 2));
  EXPECT_EQ(index_->xattr(InodeId{6}, "user.c").value(), "");
  EXPECT_THAT(index_->xattr_names(id).value(), ElementsAre("user.a", "user.b"));
  commit({.xattrs = {{id, "user.b", std::nullopt}}});
  EXPECT_THAT(index_->xattr_names(id).value(), ElementsAre("user.a"));
  commit({.erase_inodes = {id}, .erase_xattrs = {id}});
  EXPECT_THAT(index_->xattr_names(id).value(), IsEmpty());
  EXPECT_THAT(index_->xattr_names(InodeId{6}).value(), ElementsAre("user.c"));
}

TEST_P(IndexTest, CountsSegments) {
  const Segment fused{.id = SegmentId{3}, .directory = DirectoryId{1}};
  const Segment priv{.id = SegmentId{4}, .kind = SegmentKind::kPrivate, .inode = InodeId{9}};
  commit({.put_segments = {fused, priv}});
  commit({.segments = {{SegmentId{3}, 100, 100}}});
  reopen();
  commit({.segments = {{SegmentId{3}, 50, 50}, {SegmentId{3}, 0, -100}}});
  Segment expected = fused;
  expected.bytes = 150;
  expected.live = 50;
  EXPECT_EQ(index_->segment(SegmentId{3}).value(), expected);
  EXPECT_EQ(index_->segment(SegmentId{4}).value(), priv);
  EXPECT_EQ(index_->segment(SegmentId{5}).error().code, ENOENT);
  EXPECT_THAT(index_->segments(SegmentKind::kPrivate, SegmentId{0}, 10).value(), ElementsAre(priv));
  EXPECT_THAT(index_->segments(SegmentKind::kFused, SegmentId{0}, 10).value(),
              ElementsAre(expected));
  EXPECT_THAT(index_->segments(SegmentKind::kFused, SegmentId{3}, 10).value(), IsEmpty());
}

TEST_P(IndexTest, ErasesASegmentWithItsSumsAndRecords) {
  const SegmentId id{3};
  commit({.put_segments = {{.id = id}},
          .put_sums = {{id, {1, 2, 3}}},
          .put_records = {{id, 4096, InodeId{9}}, {id, 8192, InodeId{10}}}});
  commit({.put_records = {{SegmentId{4}, 4096, InodeId{11}}}});
  EXPECT_THAT(index_->records(id, 4097, 10).value(), ElementsAre(Record{id, 8192, InodeId{10}}));
  commit({.erase_records = {{id, 8192, InodeId{10}}}});
  EXPECT_THAT(index_->records(id, 0, 10).value(), ElementsAre(Record{id, 4096, InodeId{9}}));
  commit({.erase_segments = {id}});
  EXPECT_FALSE(index_->segment(id));
  EXPECT_THAT(index_->sums(id, 0, 10).value(), IsEmpty());
  EXPECT_THAT(index_->records(id, 0, 10).value(), IsEmpty());
  EXPECT_EQ(index_->records(SegmentId{4}, 0, 10)->size(), 1U);
}

TEST_P(IndexTest, KeepsSumsAcrossRows) {
  std::vector<std::uint64_t> sums(3 * kSumsPerRow + 7);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = i * i;
  commit({.put_sums = {{SegmentId{3}, sums}}});
  reopen();
  EXPECT_EQ(index_->sums(SegmentId{3}, 0, sums.size()).value(), sums);
  EXPECT_EQ(index_->sums(SegmentId{3}, 0, sums.size() + 100).value(), sums);
  const std::vector<std::uint64_t> middle(sums.begin() + 250, sums.begin() + 270);
  EXPECT_EQ(index_->sums(SegmentId{3}, 250, 20).value(), middle);
  EXPECT_THAT(index_->sums(SegmentId{4}, 0, 5).value(), IsEmpty());
  // A part of them.
  std::vector<std::uint64_t> tail(sums.begin() + 2 * kSumsPerRow, sums.end());
  tail.push_back(77);
  commit({.put_sums = {{SegmentId{3}, tail, 2 * kSumsPerRow}}});
  sums.push_back(77);
  EXPECT_EQ(index_->sums(SegmentId{3}, 0, sums.size() + 100).value(), sums);
}

TEST_P(IndexTest, QueuesWork) {
  commit({.put_queue = {{QueueKind::kDead, 2}, {QueueKind::kDead, 1}}});
  commit({.put_queue = {{QueueKind::kOrphan, 1}}});
  reopen();
  EXPECT_THAT(index_->queue(QueueKind::kDead, 0, 10).value(),
              ElementsAre(QueueEntry{QueueKind::kDead, 1}, QueueEntry{QueueKind::kDead, 2}));
  EXPECT_THAT(index_->queue(QueueKind::kDead, 1, 10).value(),
              ElementsAre(QueueEntry{QueueKind::kDead, 2}));
  commit({.erase_queue = {{QueueKind::kDead, 2}}});
  EXPECT_EQ(index_->queue(QueueKind::kDead, 0, 10)->size(), 1U);
  EXPECT_EQ(index_->queue(QueueKind::kOrphan, 0, 10)->size(), 1U);
  EXPECT_EQ(index_->queued(QueueKind::kDead, 1).value(), (QueueEntry{QueueKind::kDead, 1}));
  EXPECT_EQ(index_->queued(QueueKind::kDead, 2).error().code, ENOENT);
  EXPECT_EQ(index_->queued(QueueKind::kOpening, 1).error().code, ENOENT);
}

TEST_P(IndexTest, KeepsAReplyUntilItIsErased) {
  const Reply made{.request = RequestId{(std::uint64_t{1} << 40) + 6}, .inode = InodeId{5}};
  const Reply none{.request = RequestId{(std::uint64_t{1} << 40) + 8}};
  EXPECT_EQ(index_->reply(made.request).error().code, ENOENT);
  commit({.put_inodes = {full_inode(5)}, .put_reply = made, .erase_replies = {none.request}});
  reopen();
  EXPECT_EQ(index_->reply(made.request).value(), made);
  EXPECT_EQ(index_->reply(none.request).error().code, ENOENT);
  commit({.erase_inodes = {InodeId{5}}, .put_reply = none, .erase_replies = {made.request}});
  reopen();
  EXPECT_EQ(index_->reply(made.request).error().code, ENOENT);
  EXPECT_EQ(index_->reply(none.request).value(), none);
}

TEST_P(IndexTest, ErasesTheRepliesOfAnEarlierMount) {
  ASSERT_TRUE(index_->erase_all_replies());
  const std::vector<RequestId> requests{RequestId{1}, RequestId{256}, RequestId{~std::uint64_t{0}}};
  for (RequestId request : requests) {
    commit({.put_queue = {{QueueKind::kDead, 3}}, .put_reply = Reply{request, InodeId{7}}});
  }
  ASSERT_TRUE(index_->erase_all_replies());
  reopen();
  for (RequestId request : requests) EXPECT_EQ(index_->reply(request).error().code, ENOENT);
  EXPECT_TRUE(index_->queued(QueueKind::kDead, 3));
  const Reply again{.request = RequestId{256}, .inode = InodeId{8}};
  commit({.put_reply = again});
  reopen();
  EXPECT_EQ(index_->reply(again.request).value(), again);
}

TEST_P(IndexTest, KeepsTheSyncMark) {
  EXPECT_EQ(index_->sync_mark().value(), SyncMark{});
  const SyncMark mark{.boot = "boot",
                      .epoch = Epoch{3},
                      .synced = Epoch{2},
                      .doubtful = {{.first = Epoch{1}, .last = Epoch{1}}}};
  commit({.put_sync_mark = mark});
  EXPECT_EQ(index_->scrub_mark().value(), ScrubMark{});
  const ScrubMark scrubbed{.began = 1'700'000'000, .compared_since = 1'600'000'000};
  commit({.put_scrub_mark = scrubbed});
  commit({.totals = {.inodes = 1}});
  reopen();
  EXPECT_EQ(index_->sync_mark().value(), mark);
  EXPECT_EQ(index_->scrub_mark().value(), scrubbed);
}

TEST_P(IndexTest, AddsTotals) {
  EXPECT_EQ(index_->totals()->charged, 0);
  commit({.totals = {.charged = 100, .inodes = 2}});
  commit({.totals = {.charged = -30, .inodes = -1}});
  reopen();
  EXPECT_EQ(index_->totals()->charged, 70);
  EXPECT_EQ(index_->totals()->inodes, 1);
}

TEST_P(IndexTest, AddsWhatEachUserOwns) {
  EXPECT_EQ(index_->users()->size(), 0U);
  commit({.users = {{.uid = 1001, .charged = 100}, {.uid = 7, .charged = 1}}});
  commit({.users = {{.uid = 1001, .charged = -30}, {.uid = 0xffffffff, .charged = 2}}});
  reopen();
  EXPECT_THAT(index_->users().value(),
              testing::UnorderedElementsAre(UserTotal{.uid = 7, .charged = 1},
                                            UserTotal{.uid = 1001, .charged = 70},
                                            UserTotal{.uid = 0xffffffff, .charged = 2}));
  EXPECT_EQ(index_->reserve(Counter::kInode, 1).value(), 2U) << "no key of another kind";
}

TEST_P(IndexTest, HandsEachNumberOutOnce) {
  EXPECT_EQ(index_->reserve(Counter::kInode, 10).value(), 2U);
  EXPECT_EQ(index_->reserve(Counter::kSegment, 1).value(), 1U);
  reopen();
  EXPECT_EQ(index_->reserve(Counter::kInode, 1).value(), 12U);
  EXPECT_EQ(index_->reserve(Counter::kSegment, 1).value(), 2U);
  EXPECT_EQ(index_->reserve(Counter::kSequence, 1).value(), 1U);
}

// Random puts and removals of names against a map.
TEST_P(IndexTest, NamesMatchAMap) {
  std::mt19937 random(7);
  std::map<std::string, std::uint64_t> expected;
  std::map<std::string, std::uint64_t> cookies;
  for (int round = 0; round < 3000; ++round) {
    const std::string name(1 + random() % 60, static_cast<char>('a' + random() % 3));
    if (random() % 2 == 0) {
      expected[name] = 100 + random() % 100;
      put(1, name, expected[name]);
      cookies.try_emplace(name, index_->find(InodeId{1}, name)->cookie);
      ASSERT_EQ(index_->find(InodeId{1}, name)->cookie, cookies[name]);
    } else {
      expected.erase(name);
      cookies.erase(name);
      drop(1, name);
    }
    ASSERT_EQ(find(1, name), expected.contains(name) ? expected[name] : 0);
  }
  std::map<std::string, std::uint64_t> listed;
  for (const Dentry& dentry : list(1, 10)) {
    EXPECT_TRUE(listed.emplace(dentry.name, number(dentry.inode)).second);
    EXPECT_EQ(dentry.cookie, cookies.at(dentry.name));
  }
  EXPECT_EQ(listed, expected);
}

// More names of one hash than a bucket has room for, made and removed in an order of their own.
TEST_P(IndexTest, NamesThatCollideAreAllMade) {
  constexpr std::uint64_t kMany = 400;
  const auto name = [](std::uint64_t i) { return fmt::format("name {}", i); };
  for (std::uint64_t i = 0; i < kMany; ++i) put(1, name(i), 10 + i);
  std::map<std::string, std::uint64_t> cookies;
  const auto listed = list(1, 100);
  ASSERT_EQ(listed.size(), kMany);
  for (const Dentry& dentry : listed) {
    EXPECT_TRUE(cookies.emplace(dentry.name, dentry.cookie).second) << dentry.name;
    ASSERT_EQ(index_->find(InodeId{1}, dentry.name).value(), dentry);
  }
  EXPECT_EQ(find(1, "name that is not there"), 0U);
  reopen();
  for (std::uint64_t i = 0; i < kMany; i += 2) drop(1, name(i));
  for (std::uint64_t i = 0; i < kMany; ++i) {
    ASSERT_EQ(find(1, name(i)), i % 2 == 0 ? 0 : 10 + i);
    if (i % 2 == 1) {
      ASSERT_EQ(index_->find(InodeId{1}, name(i))->cookie, cookies[name(i)]);
    }
  }
  for (std::uint64_t i = 0; i < kMany; i += 4) put(1, name(i), 10 + i);
  EXPECT_EQ(list(1, 100).size(), kMany / 2 + kMany / 4);
  for (std::uint64_t i = 0; i < kMany; ++i) drop(1, name(i));
  EXPECT_THAT(list(1), IsEmpty());
  EXPECT_EQ(find(1, name(kMany - 1)), 0U);
}

TEST_P(IndexTest, ABatchFillsABucketAndEmptiesIt) {
  std::vector<Batch::DentryChange> puts;
  std::vector<Batch::DentryChange> drops;
  for (std::uint64_t i = 0; i < 300; ++i) {
    puts.push_back({InodeId{1}, fmt::format("{}", i), std::pair(InodeId{10 + i}, S_IFREG)});
    drops.push_back({InodeId{1}, fmt::format("{}", i), std::nullopt});
  }
  commit({.dentries = puts});
  EXPECT_EQ(list(1, 50).size(), 300U);
  std::vector<Batch::DentryChange> all = drops;
  all.insert(all.end(), puts.begin(), puts.end());
  commit({.dentries = all});
  EXPECT_EQ(list(1, 50).size(), 300U);
  for (std::uint64_t i = 0; i < 300; ++i) EXPECT_EQ(find(1, fmt::format("{}", i)), 10 + i);
  commit({.dentries = drops});
  EXPECT_THAT(list(1), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Indexes, IndexTest,
                         testing::Values(Kind{"memory", false, {}},
                                         Kind{"memory_colliding", false, weak_hash},
                                         Kind{"memory_one_hash", false, one_hash},
                                         Kind{"rocksdb", true, {}},
                                         Kind{"rocksdb_colliding", true, weak_hash},
                                         Kind{"rocksdb_one_hash", true, one_hash}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace spillfs::index
