// SPDX-License-Identifier: Apache-2.0
#include "index/name_hash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>

#include "index/codec.h"
#include "index/rocksdb_index.h"
#include "storage/base/checksum.h"
#include "tests/unit/index/colliding_names.h"

namespace spillfs::index {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kSeed = 0x0123456789abcdef;
constexpr InodeId kOld{7};
constexpr InodeId kFirstNumber{100};  // that the old programs had not handed out

NameKey key_of_the_document() {
  NameKey key{.key = {}, .first = InodeId{1}};
  for (std::size_t i = 0; i < key.key.size(); ++i) key.key.at(i) = static_cast<std::byte>(i);
  return key;
}

// The example of docs/FORMAT.md.
TEST(NameHash, HasTheDocumentedValues) {
  const NameHash hash(key_of_the_document(), kSeed);
  EXPECT_EQ(hash.bucket(InodeId{1}, "spill", 0), 0x6c1c92513888d600U);
  EXPECT_EQ(hash.bucket(InodeId{1}, "spill", 1), 0x5be1269da773f100U);
}

TEST(NameHash, DiffersByDirectoryTurnAndName) {
  const NameHash hash(key_of_the_document(), 0);
  std::set<std::uint64_t> buckets;
  for (std::uint64_t directory = 1; directory < 4; ++directory) {
    for (unsigned turn = 0; turn < hash.turns(); ++turn) {
      for (const char* name : {"a", "b", "ab"}) {
        buckets.insert(hash.bucket(InodeId{directory}, name, turn));
      }
    }
  }
  EXPECT_THAT(buckets, SizeIs(3 * NameHash::kMostTurns * 3));
}

TEST(NameHash, WithoutAKeyThereIsTheFirstFormatAlone) {
  const NameHash hash(std::nullopt, kSeed);
  EXPECT_EQ(hash.turns(), 1U);
  EXPECT_EQ(hash.bucket(kOld, "a", 0), first_cookie(xxh3_with_seed(as_bytes("a"), kSeed)));
}

TEST(NameHash, DirectoriesFromANumberOnAreKeyed) {
  NameKey key = key_of_the_document();
  key.first = kFirstNumber;
  const NameHash hash(key, kSeed);
  EXPECT_EQ(hash.bucket(InodeId{99}, "a", 0), first_cookie(xxh3_with_seed(as_bytes("a"), kSeed)));
  EXPECT_NE(hash.bucket(InodeId{100}, "a", 0), first_cookie(xxh3_with_seed(as_bytes("a"), kSeed)));
  EXPECT_NE(hash.bucket(InodeId{99}, "a", 1), first_cookie(xxh3_with_seed(as_bytes("a"), kSeed)));
}

TEST(CollidingNames, TheSeedIsToldByTwoCookies) {
  const auto cookie = [](std::string_view name) {
    return first_cookie(xxh3_with_seed(as_bytes(name), kSeed));
  };
  EXPECT_EQ(seed_of({{"abcdefgh", cookie("abcdefgh")}, {"victim.x", cookie("victim.x")}}), kSeed);
  const auto names = names_like("needed", kSeed, 300);
  ASSERT_THAT(names, SizeIs(300));
  for (const std::string& name : names) EXPECT_EQ(cookie(name), cookie("needed"));
}

// An index as the programs of the first format left it: a seed, and numbers handed out.
class OldIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-names-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    open_rows();
    put_row("meta", "seed", encode(kSeed));
    put_row("meta", "counter 0", encode(number(kFirstNumber)));
    close_rows();
  }
  void TearDown() override {
    index_.reset();
    std::filesystem::remove_all(folder_);
  }

  void open_rows() {
    index_.reset();
    rocksdb::Options options;
    options.create_if_missing = options.create_missing_column_families = true;
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const char* name : kFamilies) families.emplace_back(name, options);
    rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder_, families, &handles_, &opened).ok());
    rows_.reset(opened);
  }
  void close_rows() {
    for (auto* handle : handles_) ASSERT_TRUE(rows_->DestroyColumnFamilyHandle(handle).ok());
    rows_.reset();
  }
  rocksdb::ColumnFamilyHandle* family(const std::string& name) {
    return handles_.at(static_cast<std::size_t>(
        std::find(kFamilies.begin(), kFamilies.end(), name) - kFamilies.begin()));
  }
  void put_row(const std::string& of, const std::string& key, const std::string& value) {
    ASSERT_TRUE(rows_->Put({}, family(of), key, value).ok());
  }
  std::size_t count_rows(const std::string& of) {
    const std::unique_ptr<rocksdb::Iterator> at(rows_->NewIterator({}, family(of)));
    std::size_t count = 0;
    for (at->SeekToFirst(); at->Valid(); at->Next()) ++count;
    return count;
  }
  void open(Names names) {
    index_.reset();
    index_ = RocksdbIndex::open(folder_, {.names = names, .hash = {}}).value();
  }
  Result<> put(InodeId directory, const std::string& name, std::uint64_t inode) {
    return index_->commit({.dentries = {{directory, name, std::pair(InodeId{inode}, S_IFREG)}}});
  }
  Result<> drop(InodeId directory, const std::string& name) {
    return index_->commit({.dentries = {{directory, name, std::nullopt}}});
  }
  static std::uint64_t old_cookie(std::string_view name) {
    return first_cookie(xxh3_with_seed(as_bytes(name), kSeed));
  }

  static constexpr std::array kFamilies{"default", "inodes",  "dentries", "xattrs",  "segments",
                                        "sums",    "records", "reclaim",  "replies", "meta"};
  std::string folder_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;
  std::unique_ptr<rocksdb::DB> rows_;
  std::unique_ptr<RocksdbIndex> index_;
};

TEST_F(OldIndexTest, StaysAsItIsUntilItIsTold) {
  for (int start = 0; start < 2; ++start) {
    open(Names::kAsTheyAre);
    ASSERT_TRUE(put(kOld, "a", 5));
    ASSERT_TRUE(put(InodeId{200}, "b", 6));
    EXPECT_EQ(index_->find(kOld, "a")->cookie, old_cookie("a"));
    EXPECT_EQ(index_->find(InodeId{200}, "b")->cookie, old_cookie("b"));
  }
  index_.reset();
  open_rows();
  EXPECT_EQ(count_rows("meta"), 2U);
  close_rows();
}

TEST_F(OldIndexTest, NewDirectoriesAreKeyedAndOldOnesRead) {
  open(Names::kAsTheyAre);
  ASSERT_TRUE(put(kOld, "a", 5));
  open(Names::kKeyed);
  EXPECT_EQ(index_->find(kOld, "a")->inode, InodeId{5});
  ASSERT_TRUE(put(kOld, "b", 6));
  ASSERT_TRUE(put(kFirstNumber, "b", 7));
  EXPECT_EQ(index_->find(kOld, "b")->cookie, old_cookie("b"));
  const std::uint64_t cookie = index_->find(kFirstNumber, "b")->cookie;
  EXPECT_NE(cookie, old_cookie("b"));
  EXPECT_EQ(index_->reserve(Counter::kInode, 5).value(), number(kFirstNumber));
  for (Names names : {Names::kAsTheyAre, Names::kKeyed}) {  // the key is there: both are the same
    open(names);
    EXPECT_EQ(index_->find(kFirstNumber, "b")->cookie, cookie);
    EXPECT_EQ(index_->find(kOld, "b")->cookie, old_cookie("b"));
  }
}

// 300 names of the seed's: the attack that made a name impossible.
TEST_F(OldIndexTest, NamesMadeToCollideLeaveRoomForANeededOne) {
  open(Names::kKeyed);
  const auto names = names_like("needed", kSeed, 300);
  for (std::size_t i = 0; i < names.size(); ++i) ASSERT_TRUE(put(kOld, names[i], 1000 + i));
  const auto made = put(kOld, "needed", 5);
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_EQ(index_->find(kOld, "needed")->inode, InodeId{5});
  std::map<std::string, std::uint64_t> listed;
  std::uint64_t last = 0;
  const auto entries = index_->list(kOld, 0, 1000).value();
  for (const Dentry& dentry : entries) {
    EXPECT_GT(dentry.cookie, std::exchange(last, dentry.cookie));
    EXPECT_TRUE(listed.emplace(dentry.name, dentry.cookie).second);
  }
  EXPECT_THAT(listed, SizeIs(301));
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(index_->find(kOld, names[i])->cookie, listed.at(names[i]));
    ASSERT_TRUE(drop(kOld, names[i]));
    ASSERT_EQ(index_->find(kOld, names[i]).error().code, ENOENT);
    ASSERT_EQ(index_->find(kOld, "needed")->cookie, listed.at("needed"));
  }
  ASSERT_TRUE(drop(kOld, "needed"));
  index_.reset();
  open_rows();
  EXPECT_EQ(count_rows("dentries"), 0U) << "neither empty names nor signposts stay";
  close_rows();
}

// What such an attack has left on an old program's mount.
TEST_F(OldIndexTest, ABucketThatWasFilledEarlierOverflowsNow) {
  open(Names::kAsTheyAre);
  const auto names = names_like("needed", kSeed, 256);
  for (const std::string& name : names) ASSERT_TRUE(put(kOld, name, 1000));
  EXPECT_EQ(put(kOld, "needed", 5).error().code, ENOSPC) << "the first format has no room";
  open(Names::kKeyed);
  ASSERT_TRUE(put(kOld, "needed", 5));
  ASSERT_TRUE(drop(kOld, names.front()));
  ASSERT_TRUE(put(kOld, "another", 6));
  EXPECT_EQ(index_->find(kOld, "needed")->inode, InodeId{5});
  EXPECT_EQ(index_->list(kOld, 0, 1000)->size(), 257U);
}

TEST_F(OldIndexTest, AKeyedDirectorysCookiesTellNoSeed) {
  open(Names::kKeyed);
  const std::vector<std::string> names{"abcdefgh", "victim.x"};
  std::vector<std::pair<std::string, std::uint64_t>> seen;
  for (const std::string& name : names) {
    ASSERT_TRUE(put(kFirstNumber, name, 5));
    seen.emplace_back(name, index_->find(kFirstNumber, name)->cookie);
  }
  EXPECT_EQ(seed_of(seen), std::nullopt);
}

}  // namespace
}  // namespace spillfs::index
