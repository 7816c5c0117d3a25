// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_index.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
