// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-store-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = files::canonical(pattern).string();
    path_ = root_ + "/store";
  }
  void TearDown() override { files::remove_all(root_); }

  // The code of the refusal, which has to say `text`; 0 when there was none.
  static int refusal(const Result<Store>& opened, const std::string& text) {
    if (opened) return 0;
    EXPECT_THAT(opened.error().context, HasSubstr(text));
    return opened.error().code;
  }
  void make_store(const std::vector<std::string>& data = {}) const {
    ASSERT_TRUE(Store::open_or_create(path_, data));
  }
  static void write_file(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  std::string store_file() const { return path_ + "/" + kStoreFile; }
  nlohmann::json stored() const {
    std::ifstream file(store_file());
    return nlohmann::json::parse(file);
  }
  void store_with(const std::string& key, const nlohmann::json& value) const {
    nlohmann::json json = stored();
    json[key] = value;
    write_file(store_file(), json.dump());
  }

  std::string root_, path_;
};

TEST_F(StoreTest, IsMadeAndOpenedAgain) {
  storage::StoreId id{};
  {
    const auto made = Store::open_or_create(path_, {});
    ASSERT_TRUE(made) << describe(made.error());
    id = made->id();
    EXPECT_EQ(made->path(), path_);
    EXPECT_EQ(made->index_path(), path_ + "/index");
    EXPECT_THAT(made->directories(), ElementsAre(path_));
    struct stat found {};
    ASSERT_EQ(::stat(path_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0700U);
  }
  EXPECT_EQ(stored()["format_version"], kStoreFormat);
  EXPECT_EQ(stored()["uuid"], storage::hex(id));
  EXPECT_EQ(Store::open(path_).value().id(), id);
  EXPECT_EQ(Store::open_or_create(path_, {}).value().id(), id);
  EXPECT_NE(Store::open_or_create(root_ + "/other", {}).value().id(), id);
}

TEST_F(StoreTest, ItsOwnDirectoryMovesWithIt) {
  make_store();
  files::rename(path_, root_ + "/moved");
  EXPECT_THAT(Store::open(root_ + "/moved").value().directories(), ElementsAre(root_ + "/moved"));
}

TEST_F(StoreTest, KeepsItsDataDirectories) {
  const std::vector<std::string> data{root_ + "/a/deep", root_ + "/b"};
  make_store(data);
  EXPECT_EQ(Store::open(path_).value().directories(), data);
  EXPECT_EQ(Store::open_or_create(path_, {}).value().directories(), data);
  EXPECT_TRUE(Store::open_or_create(path_, {root_ + "/a/../a/deep", root_ + "/b"}));
  const std::string told = root_ + "/a/deep:" + root_ + "/b";
  EXPECT_EQ(refusal(Store::open_or_create(path_, {root_ + "/b"}), told), EINVAL);
  EXPECT_EQ(refusal(Store::open_or_create(path_, {root_ + "/b", root_ + "/a/deep"}), told), EINVAL);
}

TEST_F(StoreTest, IsForOneProcess) {
  const auto first = Store::open_or_create(path_, {});
  ASSERT_TRUE(first);
  EXPECT_EQ(refusal(Store::open(path_), "in use"), EBUSY);
  EXPECT_EQ(refusal(Store::open_or_create(path_, {}), "in use"), EBUSY);
}

TEST_F(StoreTest, WhatIsNone) {
  EXPECT_EQ(refusal(Store::open(path_), "not a spillfs store"), ENOENT);
  EXPECT_FALSE(files::exists(path_)) << "open() makes nothing";
  files::create_directory(path_);
  EXPECT_EQ(refusal(Store::open(path_), "not a spillfs store"), ENOENT);
  write_file(path_ + "/thesis.tex", "years of work");
  EXPECT_EQ(refusal(Store::open_or_create(path_, {}), "holds other files"), ENOTEMPTY);
  EXPECT_EQ(refusal(Store::open_or_create(root_ + "/no/where", {}), "make store"), ENOENT);
  EXPECT_EQ(refusal(Store::open_or_create(path_ + "/thesis.tex", {}), "not a directory"), ENOTDIR);
}

TEST_F(StoreTest, AFreshDiskIsEmptyEnough) {
  files::create_directories(path_ + "/lost+found");
  EXPECT_TRUE(Store::open_or_create(path_, {}));
}

TEST_F(StoreTest, IsMadeAfterAnAttemptThatFailed) {
  write_file(root_ + "/file", "");
  EXPECT_EQ(refusal(Store::open_or_create(path_, {root_ + "/file/data"}), "make data directory"),
            ENOTDIR);
  EXPECT_FALSE(files::exists(store_file()));
  write_file(store_file() + ".new", "{");  // what a crash leaves
  EXPECT_TRUE(Store::open_or_create(path_, {}));
}

// JSON has only UTF-8.
TEST_F(StoreTest, ADataDirectoryThatIsNotUtf8IsRefused) {
  EXPECT_EQ(refusal(Store::open_or_create(path_, {root_ + "/gr\xf6\xdf"
                                                          "e"}),
                    "not UTF-8"),
            EINVAL);
  EXPECT_FALSE(files::exists(store_file()));
  make_store({root_ + "/größe"});
  EXPECT_THAT(Store::open(path_).value().directories(), ElementsAre(root_ + "/größe"));
}

TEST_F(StoreTest, TheRootMayBeADataDirectory) {
  make_store();
  store_with("data_directories", {"/", "/usr/"});
  EXPECT_THAT(Store::open(path_).value().directories(), ElementsAre("/", "/usr"));
}

TEST_F(StoreTest, OfANewerFormat) {
  make_store();
  store_with("format_version", kStoreFormat + 1);
  EXPECT_EQ(refusal(Store::open(path_), "use a newer spillfs"), EPROTO);
  EXPECT_EQ(refusal(Store::open_or_create(path_, {}), "use a newer spillfs"), EPROTO);
}

TEST_F(StoreTest, Damaged) {
  make_store();
  const nlohmann::json good = stored();
  const std::vector<std::pair<std::string, nlohmann::json>> bad{
      {"format_version", "one"},
      {"format_version", -1},
      {"uuid", 7},
      {"uuid", "00"},
      {"uuid", std::string(32, 'z')},
      {"data_directories", "."},
      {"data_directories", nlohmann::json::array()},
      {"data_directories", nlohmann::json::array({1})}};
  for (const auto& [key, value] : bad) {
    store_with(key, value);
    EXPECT_EQ(refusal(Store::open(path_), "damaged"), EBADMSG) << key << " " << value;
    write_file(store_file(), good.dump());
  }
  for (const char* text : {"", "{", "[]", "{}", "null"}) {
    write_file(store_file(), text);
    EXPECT_EQ(refusal(Store::open(path_), "damaged"), EBADMSG) << text;
    EXPECT_EQ(refusal(Store::open_or_create(path_, {}), "damaged"), EBADMSG) << text;
  }
  write_file(store_file(), good.dump());
  EXPECT_TRUE(Store::open(path_));
}

TEST_F(StoreTest, WithoutOneOfItsDisks) {
  make_store({root_ + "/a", root_ + "/b"});
  files::remove(root_ + "/b");
  EXPECT_EQ(refusal(Store::open(path_), root_ + "/b of store"), ENOENT);
  write_file(root_ + "/b", "");
  EXPECT_EQ(refusal(Store::open(path_), root_ + "/b of store"), ENOENT);
}

TEST_F(StoreTest, ADataDirectoryServesOnce) {
  EXPECT_EQ(refusal(Store::open_or_create(path_, {root_ + "/a", root_ + "/a/."}), "twice"), EINVAL);
  make_store({root_ + "/a"});
  ASSERT_TRUE(Store::open(path_)->open_devices(0));
  write_file(root_ + "/a/segments/1.fused", "");
  EXPECT_EQ(refusal(Store::open_or_create(root_ + "/other", {root_ + "/a"}), "another store"),
            ENOTEMPTY);
}

TEST_F(StoreTest, DevicesLeaveTheReserveOfTheIndexsFileSystem) {
  struct stat here {};
  struct stat there {};
  std::string elsewhere = "/dev/shm/spillfs-store-XXXXXX";
  if (::mkdtemp(elsewhere.data()) == nullptr) GTEST_SKIP() << "no second file system";
  ASSERT_EQ(::stat(root_.c_str(), &here), 0);
  ASSERT_EQ(::stat(elsewhere.c_str(), &there), 0);
  if (here.st_dev != there.st_dev) {
    const auto store = Store::open_or_create(path_, {root_ + "/a", elsewhere});
    const auto devices = store->open_devices(std::uint64_t{1} << 60);
    ASSERT_TRUE(devices) << describe(devices.error());
    ASSERT_EQ(devices->size(), 2U);
    EXPECT_EQ((*devices)[0]->name(), root_ + "/a");
    EXPECT_EQ((*devices)[1]->name(), elsewhere);
    EXPECT_EQ((*devices)[0]->space()->free, 0U);
    EXPECT_GT((*devices)[1]->space()->free, 0U);
    EXPECT_GT(store->open_devices(0)->front()->space()->free, 0U);
  }
  files::remove_all(elsewhere);
}

TEST_F(StoreTest, BallastIsKeptAndGivenUpOnce) {
  const auto store = Store::open_or_create(path_, {});
  EXPECT_FALSE(store->drop_ballast()) << "there is none yet";
  EXPECT_FALSE(store->has_ballast());
  ASSERT_TRUE(store->keep_ballast());
  EXPECT_TRUE(store->has_ballast());
  struct stat found {};
  ASSERT_EQ(::stat((path_ + "/ballast").c_str(), &found), 0);
  EXPECT_GE(found.st_blocks * 512, static_cast<blkcnt_t>(16 * kMiB)) << "blocks, not a hole";
  EXPECT_TRUE(store->keep_ballast()) << "it is there already";
  ASSERT_EQ(::truncate((path_ + "/ballast").c_str(), 0), 0);
  ASSERT_EQ(::truncate((path_ + "/ballast").c_str(), static_cast<off_t>(16 * kMiB)), 0);
  EXPECT_TRUE(store->keep_ballast());
  ASSERT_EQ(::stat((path_ + "/ballast").c_str(), &found), 0);
  EXPECT_GE(found.st_blocks * 512, static_cast<blkcnt_t>(16 * kMiB)) << "a copy may have had holes";
  EXPECT_TRUE(store->drop_ballast());
  EXPECT_FALSE(files::exists(path_ + "/ballast"));
  EXPECT_FALSE(store->drop_ballast());
  files::create_directory(path_ + "/ballast");
  const auto kept = store->keep_ballast();
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, EISDIR);
}

// Names, sizes and times of all files; a lock, too, is one.
std::vector<std::string> listing(const std::string& root) {
  std::vector<std::string> found;
  for (const auto& entry : files::recursive_directory_iterator(root)) {
    const auto changed = entry.last_write_time().time_since_epoch().count();
    found.push_back(entry.path().string() + " " + std::to_string(changed));
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST_F(StoreTest, ToReadItNothingInItIsChanged) {
  make_store({root_ + "/a", root_ + "/b"});
  {
    const auto store = Store::open(path_).value();
    const auto devices = store.open_devices(0).value();
    for (const auto& device : devices) ASSERT_TRUE(device->create("segments/1.fused"));
  }
  const auto before = listing(root_);
  {
    const auto store = Store::open_read_only(path_, {}).value();
    EXPECT_EQ(store.access(), storage::Access::kReadOnly);
    const auto devices = store.open_devices(0).value();
    ASSERT_EQ(devices.size(), 2U);
    EXPECT_TRUE(devices[0]->open("segments/1.fused"));
    EXPECT_EQ(devices[0]->create("segments/2.fused").error().code, EROFS);
    EXPECT_EQ(store.open_index().error().code, ENOENT);
  }
  EXPECT_EQ(listing(root_), before);
  EXPECT_EQ(refusal(Store::open_read_only(path_, {root_ + "/a"}), "leave data= out"), EINVAL);
  EXPECT_EQ(refusal(Store::open_read_only(root_ + "/none", {}), "not a spillfs store"), ENOENT);
  EXPECT_FALSE(files::exists(root_ + "/none"));
}

TEST_F(StoreTest, ManyReadIt) {
  make_store();
  {
    const auto one = Store::open_read_only(path_, {}).value();
    EXPECT_TRUE(Store::open_read_only(path_, {}));
  }
  {
    const auto writer = Store::open(path_).value();
    EXPECT_EQ(refusal(Store::open_read_only(path_, {}), "in use"), EBUSY);
  }
  files::remove(path_ + "/lock");  // a copy may have none
  EXPECT_TRUE(Store::open_read_only(path_, {}));
  EXPECT_FALSE(files::exists(path_ + "/lock"));
}

TEST_F(StoreTest, WhoReadsItHandsItsLockOn) {
  make_store();
  const auto before = Store::open_read_only(path_, {}).value();
  auto after =
      Store::adopt(path_, Fd(::dup(before.lock())), Foreign::kRefuse, storage::Access::kReadOnly);
  ASSERT_TRUE(after) << describe(after.error());
  EXPECT_EQ(after->access(), storage::Access::kReadOnly);
}

}  // namespace
}  // namespace spillfs::fs
