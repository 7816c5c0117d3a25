// SPDX-License-Identifier: Apache-2.0
#include "storage/base/trusted_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/temporary_folder.h"

namespace spillfs {
namespace {

namespace files = std::filesystem;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr uid_t kStranger = 54321;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
}

class TrustedDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = files::canonical(temporary_.path());
    path_ = root_ + "/a/store";
    files::create_directories(path_);
    for (const auto& folder : {root_ + "/a", path_}) ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
    write_file(root_ + "/victim", "precious");
  }

  Result<TrustedDirectory> open(Foreign foreign = Foreign::kRefuse) const {
    return TrustedDirectory::open(path_, Trust::of_process(foreign, ", or else"));
  }
  TrustedDirectory store() const { return open().value(); }

  template <class T>
  static void expect_refused(const Result<T>& result, int code, const std::string& text) {
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, code) << result.error().context;
    EXPECT_THAT(result.error().context, HasSubstr(text));
  }
  void give_away(const std::string& path) const {
    if (::lchown(path.c_str(), kStranger, kStranger) != 0) GTEST_SKIP() << "needs root";
  }

  tests::TemporaryFolder temporary_;
  std::string root_, path_;
};

TEST_F(TrustedDirectoryTest, OpensWhatIsOurs) {
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().context;
  EXPECT_EQ(opened->path(), path_);
  EXPECT_EQ(opened->owner(), ::geteuid());
  EXPECT_EQ(open_trusted_file(root_ + "/./a/../victim", Trust::of_process())
                .and_then([](const Fd& file) { return read_all(file, 100, "it"); })
                .value(),
            "precious");
}

TEST_F(TrustedDirectoryTest, RefusesWhatOthersMayWrite) {
  for (const mode_t mode : {0775, 0757, 01777}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    expect_refused(open(), EPERM, "'chmod go-w " + path_ + "' keeps them out, or else");
    EXPECT_TRUE(open(Foreign::kAdmit));
  }
}

TEST_F(TrustedDirectoryTest, RefusesADirectoryOfAnotherUser) {
  give_away(path_);
  expect_refused(open(), EPERM, path_ + " belongs to user 54321");
  expect_refused(open(), EPERM, "'chown root " + path_ + "'");
  EXPECT_TRUE(open(Foreign::kAdmit));
  EXPECT_TRUE(TrustedDirectory::open(path_, Trust({::geteuid(), kStranger}, Foreign::kRefuse)));
}

TEST_F(TrustedDirectoryTest, RefusesAWayOnWhichOthersRename) {
  const std::string way = root_ + "/a";
  ASSERT_EQ(::chmod(way.c_str(), 0777), 0);
  expect_refused(open(), EPERM, "other users may write " + way + " (mode 0777)");
  EXPECT_TRUE(open(Foreign::kAdmit));
  ASSERT_EQ(::chmod(way.c_str(), 01777), 0);
  EXPECT_TRUE(open()) << "as in /tmp, others can't rename what is ours there";
  ASSERT_EQ(::chmod(way.c_str(), 0755), 0);
  give_away(way);
  expect_refused(open(), EPERM, way + " belongs to user 54321");
}

TEST_F(TrustedDirectoryTest, OneThatIsSharedHasTheStickyBit) {
  const auto shared = [&] { return TrustedDirectory::open_shared(path_, Trust::of_process()); };
  ASSERT_EQ(::chmod(path_.c_str(), 01777), 0);
  EXPECT_TRUE(shared());
  ASSERT_EQ(::chmod(path_.c_str(), 0777), 0);
  expect_refused(shared(), EPERM, "other users may write");
}

TEST_F(TrustedDirectoryTest, TheWayMayBeThatOfWhoCalledSudo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  give_away(root_ + "/a");
  ::setenv("SUDO_UID", "54321", 1);
  const auto on_the_way = open();
  give_away(path_);
  const auto itself = open();
  write_file(root_ + "/config", "text");
  give_away(root_ + "/config");
  const auto store_file = open_trusted_file(root_ + "/config", Trust::of_process());
  const auto config = open_trusted_file(root_ + "/config", Trust::of_caller());
  ::setenv("SUDO_UID", "54322", 1);
  const auto of_another = open_trusted_file(root_ + "/config", Trust::of_caller());
  ::unsetenv("SUDO_UID");
  EXPECT_TRUE(on_the_way);
  expect_refused(itself, EPERM, "belongs to user 54321");
  expect_refused(store_file, EPERM, "belongs to user 54321");
  EXPECT_TRUE(config);
  expect_refused(of_another, EPERM, "belongs to user 54321");
}

TEST_F(TrustedDirectoryTest, FollowsALinkOnTheWayWhereOnlyWeCanHaveMadeIt) {
  const std::string link = root_ + "/link";
  files::create_symlink("a/./store", link);
  const auto opened = TrustedDirectory::open(link, Trust::of_process());
  ASSERT_TRUE(opened) << opened.error().context;
  EXPECT_EQ(opened->path(), path_);
  files::create_symlink("/", root_ + "/top");
  EXPECT_EQ(TrustedDirectory::open(root_ + "/top" + link, Trust::of_process())->path(), path_);
  files::create_symlink("loop", root_ + "/loop");
  expect_refused(TrustedDirectory::open(root_ + "/loop", Trust::of_process()), ELOOP, "loop");

  give_away(link);
  for (const Foreign foreign : {Foreign::kRefuse, Foreign::kAdmit}) {
    expect_refused(TrustedDirectory::open(link, Trust::of_process(foreign)), EPERM,
                   link + " is a symbolic link that user 54321 could have made");
  }
}

TEST_F(TrustedDirectoryTest, NoLinkIsFollowedWhereOthersMayPutOne) {
  files::create_symlink(path_, root_ + "/a/link");
  ASSERT_EQ(::chmod((root_ + "/a").c_str(), 0777), 0);
  expect_refused(TrustedDirectory::open(root_ + "/a/link", Trust::of_process(Foreign::kAdmit)),
                 EPERM, "is a symbolic link");
}

TEST_F(TrustedDirectoryTest, MakesDirectoriesForUsAlone) {
  const Trust trust = Trust::of_process();
  expect_refused(TrustedDirectory::open(path_ + "/b/c", trust, Missing::kMakeLast), ENOENT, "/b");
  const auto made = TrustedDirectory::open(path_ + "/b/c", trust, Missing::kMakeAll);
  ASSERT_TRUE(made) << made.error().context;
  EXPECT_EQ(files::status(path_ + "/b").permissions(), files::perms::owner_all);
  EXPECT_TRUE(TrustedDirectory::open(path_ + "/d/", trust, Missing::kMakeLast));
  expect_refused(TrustedDirectory::open(root_ + "/victim/x", trust, Missing::kMakeAll), ENOTDIR,
                 "Not a directory");
  expect_refused(TrustedDirectory::open(root_ + "/victim", trust, Missing::kMakeLast), ENOTDIR,
                 "not a directory");
}

TEST_F(TrustedDirectoryTest, NoSymbolicLinkInItIsFollowed) {
  const auto folder = store();
  files::create_symlink(root_ + "/victim", path_ + "/log");
  files::create_symlink(root_ + "/nothing", path_ + "/lock");
  for (const int flags : {O_RDONLY, O_WRONLY | O_APPEND | O_CREAT, O_RDWR | O_TRUNC}) {
    expect_refused(folder.open_file("log", flags), ELOOP, "is a symbolic link, which is not");
  }
  expect_refused(folder.open_file("lock", O_RDWR | O_CREAT), ELOOP, path_ + "/lock");
  EXPECT_FALSE(files::exists(root_ + "/nothing"));
  EXPECT_EQ(text_of(root_ + "/victim"), "precious");
  files::create_directory_symlink(root_ + "/a", path_ + "/index");
  expect_refused(folder.make_folder("index"), ENOTDIR, "no link to one");
  expect_refused(folder.check_contents(), ELOOP, "is a symbolic link");
}

TEST_F(TrustedDirectoryTest, NothingWithAnotherNameIsOpened) {
  const auto folder = store();
  files::create_hard_link(root_ + "/victim", path_ + "/log");
  expect_refused(folder.open_file("log", O_WRONLY | O_TRUNC), EPERM, "has another name");
  EXPECT_EQ(text_of(root_ + "/victim"), "precious");
  expect_refused(folder.check_contents(), EPERM, "has another name");
  expect_refused(
      TrustedDirectory::open(path_, Trust::of_process(Foreign::kAdmit))->open_file("log", O_RDONLY),
      EPERM, "has another name");
}

TEST_F(TrustedDirectoryTest, AFifoNeitherWaitsNorIsUsed) {
  const auto folder = store();
  ASSERT_EQ(::mkfifo((path_ + "/lock").c_str(), 0600), 0);
  for (const int flags : {O_RDONLY, O_WRONLY | O_APPEND | O_CREAT, O_RDWR | O_CREAT}) {
    expect_refused(folder.open_file("lock", flags), EPERM, "is not a regular file");
  }
  expect_refused(open_trusted_file("/dev/null", Trust::of_process()), EPERM,
                 "is not a regular file");
  give_away(path_ + "/lock");
  expect_refused(open_trusted_file(path_ + "/lock", Trust::of_process()), EPERM,
                 "belongs to user 54321");
}

TEST_F(TrustedDirectoryTest, FilesOfOthersAreRefused) {
  const auto folder = store();
  write_file(path_ + "/log", "text");
  ASSERT_EQ(::chmod((path_ + "/log").c_str(), 0620), 0);
  expect_refused(folder.open_file("log", O_RDONLY), EPERM, "'chmod go-w");
  ASSERT_EQ(::chmod((path_ + "/log").c_str(), 0600), 0);
  give_away(path_ + "/log");
  expect_refused(folder.open_file("log", O_RDONLY), EPERM, "belongs to user 54321");
  EXPECT_TRUE(open(Foreign::kAdmit)->open_file("log", O_RDONLY));
}

TEST_F(TrustedDirectoryTest, AFileIsOpenedAsAsked) {
  const auto folder = store();
  const auto file = folder.open_file("log", O_WRONLY | O_APPEND | O_CREAT);
  ASSERT_TRUE(file) << file.error().context;
  EXPECT_EQ(::fcntl(file->get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK),
            O_WRONLY | O_APPEND);
  ASSERT_EQ(::write(file->get(), "ab", 2), 2);
  EXPECT_EQ(folder.read_file("log", 2).value(), "ab");
  expect_refused(folder.read_file("log", 1), EFBIG, "too large");
  EXPECT_TRUE(folder.open_file("log", O_WRONLY | O_TRUNC));
  EXPECT_EQ(folder.read_file("log", 2).value(), "");
  EXPECT_EQ(files::status(path_ + "/log").permissions(),
            files::perms::owner_read | files::perms::owner_write);
  expect_refused(folder.open_file("nothing", O_RDONLY), ENOENT, path_ + "/nothing");
}

TEST_F(TrustedDirectoryTest, AFileIsReplacedWhole) {
  const auto folder = store();
  ASSERT_TRUE(folder.replace_file("file", "one", 0600, Durable::kYes));
  files::create_symlink(root_ + "/victim", path_ + "/file.new");
  ASSERT_TRUE(folder.replace_file("file", "two", 0644, Durable::kNo));
  EXPECT_EQ(text_of(path_ + "/file"), "two");
  EXPECT_EQ(static_cast<unsigned>(files::status(path_ + "/file").permissions()), 0644U);
  EXPECT_EQ(text_of(root_ + "/victim"), "precious");
  EXPECT_FALSE(files::exists(path_ + "/file.new"));
  files::remove(path_ + "/file");
  files::create_symlink(root_ + "/victim", path_ + "/file");
  ASSERT_TRUE(folder.replace_file("file", "three", 0600, Durable::kYes));
  EXPECT_EQ(text_of(path_ + "/file"), "three");
  EXPECT_EQ(text_of(root_ + "/victim"), "precious");
}

TEST_F(TrustedDirectoryTest, WhatIsHeldStaysWhateverIsRenamed) {
  const auto folder = store();
  const auto other = folder.again().value();
  files::rename(root_ + "/a", root_ + "/moved");
  files::create_directories(path_);
  ASSERT_TRUE(other.replace_file("file", "text", 0600, Durable::kNo));
  EXPECT_EQ(text_of(root_ + "/moved/store/file"), "text");
  EXPECT_EQ(text_of(folder.path_by_descriptor() + "/file"), "text");
  EXPECT_FALSE(files::exists(path_ + "/file"));
}

TEST_F(TrustedDirectoryTest, ListsRenamesAndRemoves) {
  const auto folder = store();
  write_file(path_ + "/a", "");
  ASSERT_TRUE(folder.make_folder("b"));
  ASSERT_TRUE(folder.rename("a", "c"));
  EXPECT_THAT(folder.list().value(), UnorderedElementsAre("b", "c"));
  EXPECT_TRUE(folder.has("c").value());
  EXPECT_FALSE(folder.has("a").value());
  EXPECT_TRUE(folder.check_contents());
  ASSERT_TRUE(folder.remove("c"));
  expect_refused(folder.remove("c"), ENOENT, "remove " + path_ + "/c");
}

TEST_F(TrustedDirectoryTest, TheKernelRefusesLinksWhereALibraryWouldFollowThem) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto folder = store();
  files::create_symlink(root_ + "/victim", path_ + "/link");
  const std::string before = folder.path_by_descriptor() + "/link";
  EXPECT_EQ(text_of(before), "precious");
  if (const auto done = folder.refuse_symbolic_links(); !done) {
    GTEST_SKIP() << done.error().context;
  }
  const std::string link = folder.path_by_descriptor() + "/link";
  EXPECT_EQ(::open(link.c_str(), O_RDONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, ELOOP);
  std::ofstream(folder.path_by_descriptor() + "/file") << "text";
  EXPECT_EQ(text_of(path_ + "/file"), "text");
}

}  // namespace
}  // namespace spillfs
