// SPDX-License-Identifier: Apache-2.0
// An index whose files fail: a commit that failed shows nowhere, none is taken until the files are
// well again, then it goes on without being opened anew, and a start finds what was committed.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "index/rocksdb_index.h"
#include "tests/support/faulty_file_system.h"

namespace spillfs::index {
namespace {

using tests::FaultyFileSystem;
using tests::FileCall;

constexpr std::chrono::milliseconds kPause{20};

constexpr const char* kAllFiles = "";  // the log is the first; what goes on needs others

struct Case {
  const char* name;
  FileCall call;
  const char* ending;
  int code;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class RocksdbFault : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-rocksdb-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    spdlog::set_level(spdlog::level::off);
  }
  void TearDown() override {
    spdlog::set_level(spdlog::level::info);
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<RocksdbIndex> open() {
    return RocksdbIndex::open(folder_, {.hash = {},
                                        .no_space = {},
                                        .env = rocksdb::NewCompositeEnv(files_),
                                        .resume_after = kPause})
        .value();
  }

  std::string folder_;
  std::shared_ptr<FaultyFileSystem> files_ = std::make_shared<FaultyFileSystem>();
};

Result<> put(RocksdbIndex& index, std::uint64_t id) {
  return index.commit({.put_inodes = {{.id = InodeId{id}, .text = std::string(1000, 'x')}},
                       .totals = {.charged = 1, .inodes = 1}});
}

// Until the index takes changes, for a minute at most: RocksDB itself may try every five seconds.
bool comes_back(const RocksdbIndex& index) {
  for (int i = 0; i < 6000 && !index.trouble().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return index.trouble().empty();
}

void expect_inodes(RocksdbIndex& index, std::uint64_t count) {
  EXPECT_EQ(index.totals()->inodes, static_cast<std::int64_t>(count));
  for (std::uint64_t id = 1; id <= count; ++id) EXPECT_TRUE(index.inode(InodeId{id})) << id;
  EXPECT_EQ(index.inode(InodeId{count + 1}).error().code, ENOENT);
}

TEST_P(RocksdbFault, IsReadOnlyUntilItsFilesAreWell) {
  const Case& fault = GetParam();
  auto index = open();
  std::uint64_t kept = 0;
  while (kept < 100) ASSERT_TRUE(put(*index, ++kept));
  files_->fail(fault.call, fault.ending, fault.code);
  Result<> done;
  // A flush, which writes a table, comes by itself after some MiB.
  for (int i = 0; done && i < 20'000; ++i) {
    done = put(*index, kept + 1);
    if (done) ++kept;
    if (done && fault.call == FileCall::kSync) done = index->sync();
  }
  ASSERT_FALSE(done);
  EXPECT_GT(files_->count(), 0U);
  EXPECT_NE(index->trouble(), "");
  EXPECT_EQ(put(*index, kept + 1).error().code, fault.code == EIO ? EROFS : ENOSPC);
  EXPECT_FALSE(index->reserve(Counter::kInode, 5));
  expect_inodes(*index, kept);
  std::this_thread::sleep_for(5 * kPause);
  EXPECT_NE(index->trouble(), "") << "its files are not well yet";

  files_->heal();
  ASSERT_TRUE(comes_back(*index)) << index->trouble();
  expect_inodes(*index, kept);
  ASSERT_TRUE(put(*index, ++kept));
  ASSERT_TRUE(index->sync());
  expect_inodes(*index, kept);
  index.reset();
  expect_inodes(*open(), kept);
}

INSTANTIATE_TEST_SUITE_P(Faults, RocksdbFault,
                         testing::Values(Case{"log_eio", FileCall::kAppend, kAllFiles, EIO},
                                         Case{"log_no_space", FileCall::kAppend, kAllFiles, ENOSPC},
                                         Case{"log_sync_eio", FileCall::kSync, kAllFiles, EIO},
                                         Case{"table_eio", FileCall::kAppend, ".sst", EIO},
                                         Case{"table_no_space", FileCall::kAppend, ".sst", ENOSPC}),
                         [](const auto& c) { return c.param.name; });

TEST_F(RocksdbFault, OpensWhereRoomIsMade) {
  ASSERT_TRUE(put(*open(), 1));  // is in the log
  const auto open_with = [&](std::function<bool()> no_space) {
    return RocksdbIndex::open(
        folder_,
        {.hash = {}, .no_space = std::move(no_space), .env = rocksdb::NewCompositeEnv(files_)});
  };
  files_->fail(FileCall::kAppend, ".sst", ENOSPC);
  EXPECT_EQ(open_with({}).error().code, ENOSPC);
  int calls = 0;
  const auto nothing = open_with([&] { return ++calls == 0; });
  EXPECT_EQ(nothing.error().code, ENOSPC);
  EXPECT_EQ(calls, 1);
  const auto index = open_with([&] {
    files_->heal();
    return true;
  });
  ASSERT_TRUE(index);
  expect_inodes(**index, 1);
}

TEST_F(RocksdbFault, AReadThatFailsIsEio) {
  {
    auto index = open();
    for (std::uint64_t id = 1; id <= 6'000; ++id) ASSERT_TRUE(put(*index, id));
  }
  auto index = open();
  files_->fail(FileCall::kRead, ".sst", EIO);
  int failed = 0;
  for (std::uint64_t id = 1; id <= 6'000; ++id) {
    const auto found = index->inode(InodeId{id});
    if (found) continue;
    EXPECT_EQ(found.error().code, EIO);
    ++failed;
  }
  EXPECT_GT(failed, 100);
  EXPECT_EQ(index->trouble(), "");
  files_->heal();
  expect_inodes(*index, 6'000);
}

}  // namespace
}  // namespace spillfs::index
