// SPDX-License-Identifier: Apache-2.0
#include "storage/external/beneath_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "storage/external/directory_object_store.h"
#include "storage/external/replaced_file.h"
#include "tests/support/external.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

namespace files = std::filesystem;
using ext::BeneathDirectory;
using ext::ReplacedFile;
using Resolver = BeneathDirectory::Resolver;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// A directory "own", and "victim" beside it, which nothing here may reach.
class BeneathDirectoryTest : public testing::TestWithParam<Resolver> {
 protected:
  BeneathDirectoryTest() {
    files::create_directories(own_ + "/a/b");
    write(own_ + "/a/b/file", "own");
    files::create_directory(victim_);
    write(victim_ + "/file", "victim's");
  }
  void TearDown() override {
    EXPECT_EQ(read(victim_ + "/file"), "victim's");
    EXPECT_EQ(std::distance(files::directory_iterator(victim_), files::directory_iterator()), 1);
  }

  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string text_of(const Result<Fd>& file) {
    if (!file) return "error " + std::to_string(file.error().code);
    std::string text(100, '\0');
    const ssize_t got = ::pread(file->get(), text.data(), text.size(), 0);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  [[nodiscard]] BeneathDirectory open() const {
    return BeneathDirectory::open(own_, GetParam()).value();
  }

  const TemporaryFolder folder_;
  const std::string own_ = folder_.path() + "/own";
  const std::string victim_ = folder_.path() + "/victim";
};

TEST_P(BeneathDirectoryTest, OpensWhatIsBeneath) {
  const BeneathDirectory directory = open();
  for (const char* name : {"a/b/file", "a//b/./file", "./a/b/file"}) {
    EXPECT_EQ(text_of(directory.open_file(name, O_RDONLY)), "own") << name;
  }
  EXPECT_EQ(directory.open_file("a/b/absent", O_RDONLY).error().code, ENOENT);
  EXPECT_EQ(directory.open_file("a/b/file/x", O_RDONLY).error().code, ENOTDIR);
  EXPECT_TRUE(directory.open_folder(""));
  EXPECT_TRUE(directory.open_folder("a/b/"));
  EXPECT_EQ(directory.open_folder("a/b/file").error().code, ENOTDIR);
}

TEST_P(BeneathDirectoryTest, NoNameLeadsOut) {
  const BeneathDirectory directory = open();
  for (const std::string& name : {std::string("../victim/file"), std::string("a/../../victim/file"),
                                  std::string(".."), victim_ + "/file", std::string("a/b/..")}) {
    EXPECT_EQ(directory.open_file(name, O_RDONLY).error().code, EINVAL) << name;
    EXPECT_EQ(directory.open_folder(name).error().code, EINVAL) << name;
    EXPECT_EQ(directory.make_folder(name).error().code, EINVAL) << name;
  }
}

TEST_P(BeneathDirectoryTest, FollowsNoLink) {
  files::create_symlink(victim_ + "/file", own_ + "/link");
  files::create_symlink("a/b/file", own_ + "/inner");
  files::create_directory_symlink("../victim", own_ + "/folder");
  const BeneathDirectory directory = open();
  for (const char* name : {"link", "inner", "folder/file"}) {
    const auto opened = directory.open_file(name, O_RDONLY);
    EXPECT_EQ(opened.error().code, ELOOP) << name;
    EXPECT_THAT(opened.error().context,
                HasSubstr(own_ + "/" + name + " is or passes a symbolic link"));
  }
  for (const char* name : {"folder", "folder/", "folder/new"}) {
    EXPECT_EQ(directory.open_folder(name).error().code, ELOOP) << name;
    EXPECT_EQ(directory.make_folder(name).error().code, ELOOP) << name;
  }
}

TEST_P(BeneathDirectoryTest, TheWayToItMayBeALink) {
  const std::string link = folder_.path() + "/link";
  files::create_directory_symlink("own", link);
  const auto directory = BeneathDirectory::open(link, GetParam()).value();
  EXPECT_EQ(text_of(directory.open_file("a/b/file", O_RDONLY)), "own");
  EXPECT_EQ(BeneathDirectory::open(folder_.path() + "/absent", GetParam()).error().code, ENOENT);
  EXPECT_EQ(BeneathDirectory::open(own_ + "/a/b/file", GetParam()).error().code, ENOTDIR);
}

TEST_P(BeneathDirectoryTest, MakesFolders) {
  const BeneathDirectory directory = open();
  EXPECT_TRUE(directory.make_folder("a/c/d/"));
  EXPECT_TRUE(directory.make_folder("a/c/d/"));
  EXPECT_TRUE(files::is_directory(own_ + "/a/c/d"));
  EXPECT_EQ(directory.make_folder("a/b/file/x").error().code, ENOTDIR);
}

TEST_P(BeneathDirectoryTest, RemovesATreeAndNoMore) {
  files::create_directory_symlink(victim_, own_ + "/a/b/link");
  files::create_directories(own_ + "/a/b/c/d");
  const BeneathDirectory directory = open();
  const Fd folder = directory.open_folder("").value();
  EXPECT_TRUE(ext::remove_tree(folder.get(), "a", own_ + "/a"));
  EXPECT_TRUE(files::is_empty(own_));
  EXPECT_TRUE(ext::remove_tree(folder.get(), "a", own_ + "/a")) << "gone already";
}

TEST_P(BeneathDirectoryTest, GivesUpOnTooManyLevels) {
  std::string deep = own_;
  for (int level = 0; level < 120; ++level) deep += "/d";
  files::create_directories(deep);
  const Fd folder = open().open_folder("").value();
  EXPECT_EQ(ext::remove_tree(folder.get(), "d", own_ + "/d").error().code, EMLINK);
}

// Another process exchanges a folder and a link to the victim as fast as it can.
TEST_P(BeneathDirectoryTest, HoldsWhileNamesChangePlaces) {
  const std::string name = own_ + "/n";
  const std::string other = own_ + "/other";
  files::create_directory(name);
  files::create_directory_symlink(victim_, other);
  std::atomic<bool> stop = false;
  std::jthread swapper([&] {
    while (!stop) ::renameat2(AT_FDCWD, name.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE);
  });
  const auto store =
      ext::DirectoryObjectStore::open_directory(own_, {.resolver = GetParam()}).value();
  int linked = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto writer = store->create("n/" + std::to_string(i));
    if (writer) static_cast<void>((*writer)->finish());
    if (!writer) {
      EXPECT_THAT(writer.error().code, testing::AnyOf(ELOOP, ENOTDIR, ENOENT));
    }
    linked += writer ? 0 : 1;
    std::byte byte{};
    const auto got = store->read("n/file", {&byte, 1}, 0);
    EXPECT_FALSE(got);
    const auto removed =
        store->remove(std::vector<std::string>{"n/file", "n/" + std::to_string(i)});
    if (!removed) {
      EXPECT_EQ(removed.error().code, ELOOP);
    }
    const auto swept = store->remove_all("n/f");
    if (!swept) {
      EXPECT_THAT(swept.error().code, testing::AnyOf(ELOOP, ENOTDIR));
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(linked, 0) << "the link was never in the way";
}

TEST_P(BeneathDirectoryTest, ReplacesWhatHasAName) {
  const BeneathDirectory directory = open();
  files::create_symlink(victim_ + "/file", own_ + "/0");
  files::create_hard_link(victim_ + "/file", own_ + "/1");
  for (const char* name : {"0", "1", "2", "a/3"}) {
    auto file = ReplacedFile::create(directory, name).value();
    ASSERT_TRUE(file.write(as_bytes("new")));
    ASSERT_TRUE(file.finish());
    EXPECT_EQ(read(own_ + "/" + name), "new");
    EXPECT_TRUE(files::is_regular_file(files::symlink_status(own_ + "/" + name)));
  }
  auto file = ReplacedFile::create(directory, "a").value();
  EXPECT_EQ(file.finish().error().code, EISDIR);
  EXPECT_TRUE(files::is_directory(own_ + "/a"));
}

TEST_P(BeneathDirectoryTest, LeavesNothingOfAFileThatIsNotFinished) {
  const BeneathDirectory directory = open();
  write(own_ + "/0", "old");
  {
    auto file = ReplacedFile::create(directory, "0").value();
    ASSERT_TRUE(file.write(as_bytes("new")));
  }
  EXPECT_EQ(read(own_ + "/0"), "old");
  EXPECT_THAT(folder_.files(), UnorderedElementsAre("own/0", "own/a/b/file", "victim/file"));
}

TEST_P(BeneathDirectoryTest, ReadsOnlyFiles) {
  ASSERT_EQ(::mkfifo((own_ + "/pipe").c_str(), 0600), 0);
  const auto store =
      ext::DirectoryObjectStore::open_directory(own_, {.resolver = GetParam()}).value();
  std::byte byte{};
  EXPECT_EQ(store->read("pipe", {&byte, 1}, 0).error().code, EINVAL);
  EXPECT_EQ(store->read("a", {&byte, 1}, 0).error().code, EISDIR);
}

INSTANTIATE_TEST_SUITE_P(Resolvers, BeneathDirectoryTest,
                         testing::Values(Resolver::kKernel, Resolver::kSteps), [](const auto& one) {
                           return one.param == Resolver::kKernel ? "kernel" : "steps";
                         });

}  // namespace
}  // namespace spillfs::tests
