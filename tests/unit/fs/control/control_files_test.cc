// SPDX-License-Identifier: Apache-2.0
#include "fs/control/control_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace spillfs::fs {
namespace {

using testing::ElementsAre;
using testing::Pair;

template <class T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

constexpr ControlId kFolderRoot{.kind = ControlKind::kObjects};
constexpr ControlId kFolderFile{.kind = ControlKind::kObjects, .of = 42, .number = 7};

class FixedReader : public ControlReader {
 public:
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    if (offset > 0) return fail(EIO, "it breaks off");
    std::fill_n(into.begin(), 3, std::byte{'o'});
    return 3;
  }
};

// Reads what was written.
class EchoReader : public ControlReader {
 public:
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    if (offset >= text_.size()) return 0;
    return text_.copy(reinterpret_cast<char*>(into.data()), into.size(), offset);
  }
  Result<> write(Bytes from) override {
    text_ += as_text(from);
    return {};
  }

 private:
  std::string text_;
};

// One file of 3 bytes, "file".
class FixedFolder : public ControlFolder {
 public:
  ControlId root() const override { return kFolderRoot; }
  Result<struct stat> attributes(ControlId id) override {
    if (id.node() == kFolderRoot.node()) return control_stat(id, S_IFDIR | 0555, 0);
    if (id.node() == kFolderFile.node()) return control_stat(id, S_IFREG | 0444, 3);
    return fail(ENOENT, "gone");
  }
  Result<ControlId> find(ControlId /*folder*/, std::string_view name) override {
    if (name == "file") return kFolderFile;
    return fail(ENOENT, "no such object");
  }
  Result<std::vector<DirectoryEntry>> list(ControlId /*folder*/, std::uint64_t after,
                                           std::size_t /*limit*/) override {
    if (after >= 3) return std::vector<DirectoryEntry>();
    return std::vector<DirectoryEntry>{{3, "file", control_stat(kFolderFile, S_IFREG | 0444, 3)}};
  }
  Result<std::unique_ptr<ControlReader>> open(ControlId id) override {
    SPILLFS_TRY(attributes(id));
    return std::make_unique<FixedReader>();
  }
  Result<Xattrs> xattrs(ControlId /*id*/) override { return Xattrs{{"user.spill.url", "u"}}; }
};

class ControlFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    control_.add("status", [this] { return status_; });
    control_.add("config", [] { return "quota=0\n"; });
    control_.add_folder("objects", std::make_unique<FixedFolder>());
  }
  InodeId id(std::string_view name) {
    return InodeId{control_.lookup(ControlFiles::kFolder, name).value().st_ino};
  }
  Result<std::string> read(std::uint64_t handle, std::uint64_t offset, std::size_t count) {
    return read(id("status"), handle, offset, count);
  }
  Result<std::string> read(InodeId of, std::uint64_t handle, std::uint64_t offset,
                           std::size_t count) {
    std::string text(count, '?');
    const MutableBytes into = std::as_writable_bytes(std::span<char>(text));
    const std::size_t got = SPILLFS_TRY(control_.read(of, handle, into, offset));
    EXPECT_EQ(text.substr(got), std::string(count - got, '?')) << "written behind the end";
    return text.substr(0, got);
  }
  std::vector<std::string> names(InodeId folder, std::uint64_t after) {
    std::vector<std::string> found;
    const auto entries = control_.list(folder, after, 100).value();
    for (const DirectoryEntry& entry : entries) {
      found.push_back(entry.name);
      EXPECT_GT(entry.cookie, after);
      after = entry.cookie;
    }
    return found;
  }

  std::string status_ = "well";
  ControlFiles control_;
};

TEST_F(ControlFilesTest, AnIdSaysItAll) {
  for (const ControlId id : {ControlId{}, kFolderFile,
                             ControlId{.kind = ControlKind::kSegments,
                             .of = ControlId::kMaxOf,
                             .number = ControlId::kMaxNumber}}) {
    const ControlId again = ControlId::from(id.node());
    EXPECT_EQ(again.kind, id.kind);
    EXPECT_EQ(again.of, id.of);
    EXPECT_EQ(again.number, id.number);
    EXPECT_TRUE(ControlFiles::owns(id.node()));
  }
  EXPECT_EQ(ControlId{}.node(), ControlFiles::kFolder);
}

TEST_F(ControlFilesTest, OwnsWhatIsItsOwn) {
  EXPECT_TRUE(ControlFiles::owns(ControlFiles::kFolder));
  EXPECT_TRUE(ControlFiles::owns(id("config")));
  EXPECT_FALSE(ControlFiles::owns(kRootInode));
  EXPECT_FALSE(ControlFiles::owns(InodeId{number(ControlFiles::kFolder) - 1}));
  EXPECT_TRUE(ControlFiles::owns(kRootInode, ".spillfs"));
  EXPECT_TRUE(ControlFiles::owns(ControlFiles::kFolder, "anything"));
  EXPECT_FALSE(ControlFiles::owns(kRootInode, "spillfs"));
  EXPECT_FALSE(ControlFiles::owns(InodeId{7}, ".spillfs"));
}

TEST_F(ControlFilesTest, AreFoundByName) {
  const auto folder = control_.lookup(kRootInode, ".spillfs");
  ASSERT_TRUE(folder);
  EXPECT_EQ(InodeId{folder->st_ino}, ControlFiles::kFolder);
  EXPECT_EQ(folder->st_mode, S_IFDIR | 0555U);
  EXPECT_EQ(folder->st_nlink, 2U);
  const auto text = control_.lookup(ControlFiles::kFolder, "status");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->st_mode, S_IFREG | 0444U);
  EXPECT_EQ(text->st_nlink, 1U);
  EXPECT_EQ(text->st_size, 4);
  EXPECT_NE(id("status"), id("config"));
  EXPECT_EQ(id("objects"), kFolderRoot.node());
  EXPECT_EQ(control_.lookup(id("objects"), "file")->st_ino, number(kFolderFile.node()));
  EXPECT_EQ(code_of(control_.lookup(ControlFiles::kFolder, "nothing")), ENOENT);
  EXPECT_EQ(code_of(control_.lookup(id("objects"), "nothing")), ENOENT);
}

TEST_F(ControlFilesTest, AreFoundByNumber) {
  for (const InodeId node : {ControlFiles::kFolder, id("status"), id("objects")}) {
    const auto found = control_.lookup(node, ".");
    ASSERT_TRUE(found);
    EXPECT_EQ(InodeId{found->st_ino}, node);
  }
  const std::uint64_t first = number(ControlFiles::kFolder);
  for (const std::uint64_t made_up : {first + 1000, first | std::uint64_t{1} << 63, ~first, ~0UL}) {
    if (!ControlFiles::owns(InodeId{made_up})) continue;
    EXPECT_EQ(control_.lookup(InodeId{made_up}, ".").error().code, ESTALE) << made_up;
  }
}

TEST_F(ControlFilesTest, SomeAreForTheOwner) {
  control_.add(
      "users", [] { return "{}"; }, ControlAccess::kOwner);
  EXPECT_EQ(control_.lookup(ControlFiles::kFolder, "users")->st_mode, S_IFREG | 0400U);
  EXPECT_EQ(control_.lookup(ControlFiles::kFolder, "users")->st_uid, ::geteuid());
  EXPECT_EQ(control_.lookup(ControlFiles::kFolder, "status")->st_mode, S_IFREG | 0444U);
}

TEST_F(ControlFilesTest, AreListedFromAnyCookie) {
  EXPECT_THAT(names(ControlFiles::kFolder, 0),
              ElementsAre(".", "..", "status", "config", "objects"));
  EXPECT_THAT(names(ControlFiles::kFolder, 1), ElementsAre("..", "status", "config", "objects"));
  EXPECT_THAT(names(ControlFiles::kFolder, 3), ElementsAre("config", "objects"));
  EXPECT_THAT(names(ControlFiles::kFolder, 5), ElementsAre());
  EXPECT_THAT(names(id("objects"), 0), ElementsAre(".", "..", "file"));
  EXPECT_THAT(names(id("objects"), 3), ElementsAre());
  const auto entries = control_.list(ControlFiles::kFolder, 2, 100).value();
  for (const DirectoryEntry& entry : entries) {
    EXPECT_EQ(InodeId{entry.attributes.st_ino}, id(entry.name));
  }
}

TEST_F(ControlFilesTest, AnOpenTextStaysAsItWas) {
  const std::uint64_t before = control_.open(id("status")).value();
  status_ = "ill, and long";
  const std::uint64_t after = control_.open(id("status")).value();
  EXPECT_NE(before, after);
  EXPECT_EQ(read(before, 0, 100), "well");
  EXPECT_EQ(read(after, 0, 100), "ill, and long");
  EXPECT_EQ(control_.attributes(id("status"))->st_size, 13);
}

TEST_F(ControlFilesTest, ATextIsReadInPartsUpToItsEnd) {
  const std::uint64_t handle = control_.open(id("status")).value();
  EXPECT_EQ(read(handle, 1, 2), "el");
  EXPECT_EQ(read(handle, 2, 100), "ll");
  EXPECT_EQ(read(handle, 4, 100), "");
  EXPECT_EQ(read(handle, std::uint64_t{1} << 63, 100), "");
  EXPECT_EQ(read(handle, 0, 0), "");
}

TEST_F(ControlFilesTest, AFolderAnswersForItsOwn) {
  const std::uint64_t handle = control_.open(kFolderFile.node()).value();
  EXPECT_EQ(read(handle, 0, 10), "ooo");
  EXPECT_EQ(code_of(read(handle, 1, 10)), EIO);
  EXPECT_THAT(control_.xattrs(kFolderFile.node()).value(),
              ElementsAre(Pair("user.spill.url", "u")));
  EXPECT_THAT(control_.xattrs(id("status")).value(), ElementsAre());
  const InodeId gone = ControlId{.kind = ControlKind::kObjects, .of = 43}.node();
  EXPECT_EQ(code_of(control_.attributes(gone)), ENOENT);
  EXPECT_EQ(code_of(control_.open(gone)), ENOENT);
}

TEST_F(ControlFilesTest, AHandleOfADeadProcessIsOpenedAnew) {
  const std::uint64_t handle = control_.open(id("config")).value();
  EXPECT_EQ(read(id("status"), handle - 1, 0, 100), "well");
  status_ = "ill, and long";
  EXPECT_EQ(read(id("status"), handle - 1, 2, 100), "ll");
  EXPECT_EQ(read(id("config"), handle, 0, 100), "quota=0\n");
  control_.release(handle - 1);
  control_.release(handle - 1);  // once more does no harm
  const InodeId gone = ControlId{.kind = ControlKind::kObjects, .of = 43}.node();
  EXPECT_EQ(code_of(read(gone, handle - 1, 0, 100)), ENOENT);
}

TEST_F(ControlFilesTest, WhatDoesNotExist) {
  const InodeId beyond = ControlId{.number = 3}.node();
  EXPECT_EQ(code_of(control_.open(beyond)), ENOENT);
  EXPECT_EQ(code_of(control_.attributes(beyond)), ENOENT);
  EXPECT_EQ(code_of(control_.open(ControlFiles::kFolder)), ENOENT) << "a folder is listed";
}

TEST_F(ControlFilesTest, WhatMayBeWrittenIsTheOwners) {
  control_.add_file("ask", ControlAccess::kOwnerWrites,
                    [] { return std::make_unique<EchoReader>(); });
  const InodeId file = id("ask");
  EXPECT_EQ(control_.attributes(file)->st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_TRUE(control_.takes_writes(file));
  EXPECT_FALSE(control_.takes_writes(id("status")));
  EXPECT_FALSE(control_.takes_writes(kFolderFile.node()));
  const std::uint64_t handle = control_.open(file).value();
  EXPECT_TRUE(control_.write(handle, as_bytes("one")));
  EXPECT_TRUE(control_.write(handle, as_bytes("two")));
  EXPECT_EQ(read(file, handle, 0, 10).value(), "onetwo");
  EXPECT_EQ(code_of(control_.write(control_.open(id("status")).value(), as_bytes("x"))), EPERM);
  control_.release(handle);
  EXPECT_EQ(code_of(control_.write(handle, as_bytes("x"))), EIO) << "of a process before this one";
}

}  // namespace
}  // namespace spillfs::fs
