// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_index.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "index/codec.h"

namespace spillfs::index {
namespace {

class RocksdbIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-rocksdb-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(RocksdbIndexTest, IsOpenOnce) {
  const auto first = RocksdbIndex::open(folder_, {});
  ASSERT_TRUE(first) << describe(first.error());
  const auto second = RocksdbIndex::open(folder_, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
}

TEST_F(RocksdbIndexTest, AFolderThatIsNoneIsAnError) {
  EXPECT_FALSE(RocksdbIndex::open("/proc/nowhere", {}));
}

TEST_F(RocksdbIndexTest, ACookieOutlivesTheProcess) {
  std::uint64_t cookie = 0;
  {
    auto index = RocksdbIndex::open(folder_, {}).value();
    ASSERT_TRUE(index->commit({.dentries = {{InodeId{1}, "x", std::pair(InodeId{2}, 0U)}}}));
    cookie = index->find(InodeId{1}, "x")->cookie;
    ASSERT_TRUE(index->sync());
  }
  auto index = RocksdbIndex::open(folder_, {}).value();
  EXPECT_EQ(index->find(InodeId{1}, "x")->cookie, cookie);
}

// What an index had before it kept replies.
TEST_F(RocksdbIndexTest, OpensAnIndexWithoutReplies) {
  {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder_, &opened).ok());
    const std::unique_ptr<rocksdb::DB> db(opened);
    for (const char* name :
         {"inodes", "dentries", "xattrs", "segments", "sums", "records", "reclaim", "meta"}) {
      rocksdb::ColumnFamilyHandle* family = nullptr;
      ASSERT_TRUE(db->CreateColumnFamily(options, name, &family).ok());
      if (name == std::string("inodes")) {
        ASSERT_TRUE(db->Put({}, family, key_of(5), encode(Inode{.id = InodeId{5}})).ok());
      }
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(family).ok());
    }
  }
  const Reply reply{.request = RequestId{3}, .inode = InodeId{5}};
  for (int start = 0; start < 2; ++start) {
    const auto index = RocksdbIndex::open(folder_, {});
    ASSERT_TRUE(index) << describe(index.error());
    EXPECT_TRUE((*index)->inode(InodeId{5}));
    EXPECT_EQ((*index)->reply(reply.request).has_value(), start == 1);
    ASSERT_TRUE((*index)->commit({.put_reply = reply}));
  }
}

// The next write fails in its middle, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(const std::string& folder) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().extension() == ".log") now.rlim_cur = file.file_size() + 10;
    }
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
};

TEST_F(RocksdbIndexTest, ABatchThatFailsLeavesAndErasesNoReply) {
  const Reply first{.request = RequestId{2}, .inode = InodeId{5}};
  const Batch second{.put_inodes = {{.id = InodeId{6}}},
                     .put_reply = Reply{.request = RequestId{4}, .inode = InodeId{6}},
                     .erase_replies = {first.request}};
  auto index = RocksdbIndex::open(folder_, {}).value();
  ASSERT_TRUE(index->commit({.put_inodes = {{.id = InodeId{5}}}, .put_reply = first}));
  {
    const FullDisk full(folder_);
    ASSERT_FALSE(index->commit(second));
  }
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(index->reply(first.request).value(), first);
    EXPECT_EQ(index->reply(second.put_reply->request).error().code, ENOENT);
    EXPECT_EQ(index->inode(InodeId{6}).error().code, ENOENT);
    index.reset();
    index = RocksdbIndex::open(folder_, {}).value();
  }
  ASSERT_TRUE(index->commit(second));
  EXPECT_EQ(index->reply(second.put_reply->request).value(), *second.put_reply);
  EXPECT_EQ(index->reply(first.request).error().code, ENOENT);
}

TEST_F(RocksdbIndexTest, VerifyFindsAFlippedBit) {
  {
    auto index = RocksdbIndex::open(folder_, {}).value();
    ASSERT_TRUE(index->commit({.put_inodes = {{.id = InodeId{7}, .mode = 0644, .text = "x"}}}));
  }
  EXPECT_TRUE(RocksdbIndex::open(folder_, {}).value()->verify());  // and writes its log into tables
  int tables = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream table(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    table.seekg(30);
    const int byte = table.get();
    table.seekp(30);
    table.put(static_cast<char>(byte ^ 1));
    ++tables;
  }
  ASSERT_GT(tables, 0);
  const auto index = RocksdbIndex::open(folder_, {});
  if (!index) return;  // it may find that out sooner
  EXPECT_EQ((*index)->verify().error().code, EIO);
  const auto found = (*index)->inode(InodeId{7});
  EXPECT_TRUE(!found && found.error().code == EIO);
}

}  // namespace
}  // namespace spillfs::index
