// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_in_memory.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "index/rocksdb_index.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::index {
namespace {

namespace files = std::filesystem;

class RocksdbInMemoryTest : public testing::Test {
 protected:
  // Each file's bytes and when it was changed.
  using Files = std::map<std::string, std::pair<std::string, files::file_time_type>>;

  Files files_now() const {
    Files found;
    for (const std::string& name : folder_.files()) {
      const files::path path = files::path(folder_.path()) / name;
      std::ifstream file(path, std::ios::binary);
      found[name] = {std::string(std::istreambuf_iterator<char>(file), {}),
                     files::last_write_time(path)};
    }
    return found;
  }

  static Result<> add_name(Index& index, std::uint64_t number) {
    return index.commit(
        {.dentries = {{InodeId{1}, fmt::format("name{}", number), std::pair(InodeId{2}, 0U)}}});
  }

  Result<std::unique_ptr<RocksdbIndex>> open(Changes changes) const {
    return RocksdbIndex::open(folder_.path(), {.changes = changes});
  }

  const tests::TemporaryFolder folder_;
};

TEST_F(RocksdbInMemoryTest, NoFileChanges) {
  {
    const auto index = open(Changes::kToDisk).value();
    for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(add_name(*index, i));
    ASSERT_TRUE(index->sync());
  }
  const Files before = files_now();
  {
    auto opened = open(Changes::kToMemory);
    ASSERT_TRUE(opened) << describe(opened.error());
    const auto index = *std::move(opened);
    ASSERT_TRUE(index->find(InodeId{1}, "name99"));
    // Enough for several tables.
    const std::string value(60'000, 'v');
    for (std::uint64_t i = 0; i < 500; ++i) {
      ASSERT_TRUE(
          index->commit({.xattrs = {{.inode = InodeId{i}, .name = "user.x", .value = value}}}));
    }
    ASSERT_TRUE(add_name(*index, 100));
    ASSERT_TRUE(index->sync());
    ASSERT_TRUE(index->verify());
    EXPECT_TRUE(index->find(InodeId{1}, "name100"));
    EXPECT_EQ(index->xattr(InodeId{7}, "user.x").value(), value);
    EXPECT_EQ(index->trouble(), "");
  }
  EXPECT_EQ(files_now(), before);
  const auto index = open(Changes::kToMemory).value();
  EXPECT_TRUE(index->find(InodeId{1}, "name99"));
  EXPECT_EQ(index->find(InodeId{1}, "name100").error().code, ENOENT);
}

// As a process that was killed leaves it: what it committed is in the log only.
TEST_F(RocksdbInMemoryTest, ReadsTheLogOfAProcessThatWasKilled) {
  const auto killed = open(Changes::kToDisk).value();
  ASSERT_TRUE(add_name(*killed, 1));
  const Files before = files_now();
  EXPECT_TRUE(open(Changes::kToMemory).value()->find(InodeId{1}, "name1"));
  EXPECT_TRUE(open(Changes::kToMemory).value()->find(InodeId{1}, "name1"));
  EXPECT_EQ(files_now(), before);
}

class InMemoryFilesTest : public RocksdbInMemoryTest {
 protected:
  InMemoryFilesTest() { std::ofstream(path("old")) << "disk"; }

  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string read(const std::string& name) const {
    std::string text;
    const auto status = rocksdb::ReadFileToString(env_.get(), path(name), &text);
    return status.ok() ? text : status.ToString();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    EXPECT_TRUE(env_->GetChildren(folder_.path(), &found).ok());
    return found;
  }
  rocksdb::Status write(const std::string& name) const {
    return rocksdb::WriteStringToFile(env_.get(), "memory", path(name));
  }
  std::string on_disk(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::shared_ptr<rocksdb::Env> env_ = keep_changes_in_memory(*rocksdb::Env::Default());
};

TEST_F(InMemoryFilesTest, WhatIsWrittenCoversWhatIsOnDisk) {
  EXPECT_EQ(read("old"), "disk");
  ASSERT_TRUE(write("old").ok());
  ASSERT_TRUE(write("new").ok());
  EXPECT_EQ(read("old"), "memory");
  EXPECT_EQ(read("new"), "memory");
  EXPECT_EQ(names(), (std::vector<std::string>{"new", "old"}));
  EXPECT_EQ(on_disk("old"), "disk");
  EXPECT_FALSE(files::exists(path("new")));
}

TEST_F(InMemoryFilesTest, WhatIsRemovedIsOnlyHidden) {
  ASSERT_TRUE(env_->DeleteFile(path("old")).ok());
  EXPECT_TRUE(env_->FileExists(path("old")).IsNotFound());
  EXPECT_TRUE(env_->DeleteFile(folder_.path() + "//old").IsPathNotFound());
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(on_disk("old"), "disk");
  ASSERT_TRUE(write("old").ok());
  EXPECT_EQ(read("old"), "memory");
  ASSERT_TRUE(env_->DeleteFile(path("old")).ok());
  EXPECT_TRUE(names().empty());
}

TEST_F(InMemoryFilesTest, AFileIsReplacedByARename) {
  ASSERT_TRUE(write("new").ok());
  ASSERT_TRUE(env_->RenameFile(path("new"), path("old")).ok());
  EXPECT_EQ(read("old"), "memory");
  EXPECT_EQ(names(), std::vector<std::string>{"old"});
  EXPECT_EQ(on_disk("old"), "disk");
}

TEST_F(InMemoryFilesTest, WhatIsOnDiskIsNotChangedInPlace) {
  EXPECT_FALSE(env_->RenameFile(path("old"), path("new")).ok());
  EXPECT_FALSE(env_->LinkFile(path("old"), path("new")).ok());
  EXPECT_FALSE(env_->Truncate(path("old"), 0).ok());
  std::unique_ptr<rocksdb::WritableFile> file;
  EXPECT_FALSE(env_->ReopenWritableFile(path("old"), &file, {}).ok());
  EXPECT_EQ(read("old"), "disk");
}

}  // namespace
}  // namespace spillfs::index
