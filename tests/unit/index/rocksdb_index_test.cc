// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_index.h"

#include <gtest/gtest.h>

#include <filesystem>

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

}  // namespace
}  // namespace spillfs::index
