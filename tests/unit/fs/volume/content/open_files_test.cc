// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/open_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <thread>
#include <utility>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr OpenHandle kHandle{.inode = InodeId{7},
                             .request = RequestId{1U << 31},
                             .flags = O_RDWR | O_APPEND,
                             .mode = IoMode::kPassthrough};
constexpr OpenFile kFile{.inode = InodeId{1ULL << 40},
                         .size = 123456789012,
                         .modified = {.seconds = -5, .nanoseconds = 999999999},
                         .changed = {.seconds = 1LL << 33, .nanoseconds = 1},
                         .backing_modified = {.seconds = -(1LL << 34), .nanoseconds = 2},
                         .segment = SegmentId{1ULL << 41},
                         .backing = 17,
                         .dirty = true,
                         .writer = 4321};

OpenHandle handle_of(std::uint64_t inode) { return {.inode = InodeId{inode}}; }
OpenFile file_of(std::uint64_t inode) { return {.inode = InodeId{inode}}; }
std::uint32_t row_of(HandleId id) { return static_cast<std::uint32_t>(id); }

// Memory, and what one process after another makes of it.
class OpenFilesTest : public testing::Test {
 protected:
  [[nodiscard]] Fd memory() const { return Fd(::dup(memory_.get())); }
  [[nodiscard]] std::unique_ptr<OpenFiles> create() const {
    return OpenFiles::create(memory()).value();
  }
  [[nodiscard]] std::unique_ptr<OpenFiles> reopen() const {
    return OpenFiles::reopen(memory()).value();
  }
  template <class T>
  void poke(off_t offset, T value) const {
    ASSERT_EQ(::pwrite(memory_.get(), &value, sizeof(value), offset), ssize_t{sizeof(value)});
  }
  template <class T>
  [[nodiscard]] T peek(off_t offset) const {
    T value{};
    EXPECT_EQ(::pread(memory_.get(), &value, sizeof(value), offset), ssize_t{sizeof(value)});
    return value;
  }

  const Fd memory_{::memfd_create("test", MFD_CLOEXEC)};
};

TEST_F(OpenFilesTest, TheNextProcessKnowsAll) {
  auto table = create();
  const auto closed = table->add(handle_of(3)).value();
  const auto handle = table->add(kHandle).value();
  const auto gone = table->add(file_of(3)).value();
  const auto file = table->add(kFile).value();
  table->remove(closed);
  table->remove(gone);
  table->note_backing(9);
  table->note_backing(8);
  table = reopen();
  EXPECT_THAT(table->handles(), ElementsAre(Pair(handle, kHandle)));
  EXPECT_THAT(table->files(), ElementsAre(Pair(file, kFile)));
  EXPECT_EQ(table->highest_backing(), 9);
  table->remove(handle);
  table->remove(file);
  table = reopen();
  EXPECT_THAT(table->handles(), IsEmpty());
  EXPECT_THAT(table->files(), IsEmpty());
}

TEST_F(OpenFilesTest, AnUpdateChangesAllButTheInode) {
  const auto table = create();
  const auto other = table->add(file_of(1)).value();
  const auto row = table->add(file_of(number(kFile.inode))).value();
  table->update(row, kFile);
  EXPECT_THAT(reopen()->files(), ElementsAre(Pair(other, file_of(1)), Pair(row, kFile)));
  table->update(row, file_of(number(kFile.inode)));
  EXPECT_THAT(reopen()->files(),
              ElementsAre(Pair(other, file_of(1)), Pair(row, file_of(number(kFile.inode)))));
}

TEST_F(OpenFilesTest, ANewFileHasNothingOfItsRowsLast) {
  const auto table = create();
  table->remove(table->add(kFile).value());
  table->remove(table->add(kHandle).value());
  const auto file = table->add(file_of(1)).value();
  const auto handle = table->add(handle_of(1)).value();
  EXPECT_THAT(table->files(), ElementsAre(Pair(file, file_of(1))));
  EXPECT_THAT(table->handles(), ElementsAre(Pair(handle, handle_of(1))));
}

TEST_F(OpenFilesTest, TheLowestRowIsUsedFirst) {
  auto table = create();
  std::vector<HandleId> handles;
  std::vector<OpenFiles::FileRow> files;
  for (std::uint64_t inode = 1; inode <= 6; ++inode) {
    handles.push_back(table->add(handle_of(inode)).value());
    files.push_back(table->add(file_of(inode)).value());
    EXPECT_EQ(row_of(handles.back()), inode - 1);
  }
  for (const std::size_t i : {1, 4, 2}) {
    table->remove(handles[i]);
    table->remove(files[i]);
  }
  EXPECT_EQ(row_of(table->add(handle_of(10)).value()), 1U);
  EXPECT_EQ(table->add(file_of(10)).value(), files[1]);
  table = reopen();
  for (const std::uint32_t row : {2, 4, 6}) {
    EXPECT_EQ(row_of(table->add(handle_of(11)).value()), row);
    EXPECT_EQ(table->add(file_of(11)).value(), OpenFiles::FileRow{row});
  }
}

TEST_F(OpenFilesTest, AHandleIsNeverTakenForALaterOne) {
  auto table = create();
  std::vector<HandleId> ids{HandleId{0}};
  for (int i = 0; i < 6; ++i) {
    const auto id = table->add(kHandle).value();
    EXPECT_EQ(row_of(id), 0U);
    EXPECT_THAT(ids, Not(Contains(id)));
    for (const HandleId old : ids) table->remove(old);
    EXPECT_THAT(table->handles(), ElementsAre(Pair(id, kHandle)));
    table->remove(id);
    ids.push_back(id);
    if (i % 2 == 1) table = reopen();
  }
  for (const HandleId old : ids) table->remove(old);
  const auto first = table->add(kHandle).value();
  const auto second = table->add(kHandle).value();
  EXPECT_NE(row_of(first), row_of(second)) << "a row that was freed twice";
  table->remove(HandleId{~0ULL});
  EXPECT_EQ(table->handles().size(), 2U);
}

TEST_F(OpenFilesTest, TheUsesOfARowGoRoundWithoutZero) {
  const auto table = create();
  table->remove(table->add(kHandle).value());
  poke(4096 + 24, ~std::uint32_t{0});
  EXPECT_EQ(table->add(kHandle).value(), HandleId{1ULL << 32});
}

TEST_F(OpenFilesTest, CreateForgets) {
  auto table = create();
  table->note_backing(5);
  EXPECT_TRUE(table->add(kHandle) && table->add(kFile));
  table.reset();
  table = create();
  EXPECT_THAT(table->handles(), IsEmpty());
  EXPECT_THAT(table->files(), IsEmpty());
  EXPECT_EQ(table->highest_backing(), 0);
  EXPECT_EQ(row_of(table->add(kHandle).value()), 0U);
}

TEST_F(OpenFilesTest, HasMemoryOfItsOwn) {
  const auto table = OpenFiles::create().value();
  const auto id = table->add(kHandle).value();
  EXPECT_THAT(table->handles(), ElementsAre(Pair(id, kHandle)));
}

TEST_F(OpenFilesTest, IsSmallWhileLittleIsOpen) {
  const auto table = create();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(table->add(kHandle) && table->add(kFile));
  EXPECT_EQ(reopen()->files().size(), 100U);
  struct stat found {};
  ASSERT_EQ(::fstat(memory_.get(), &found), 0);
  EXPECT_LE(found.st_blocks * 512, 8 << 20) << "more than a huge page for each part";
}

TEST_F(OpenFilesTest, MemoryThatIsNotOursIsRefused) {
  const auto code = [this] {
    const auto table = OpenFiles::reopen(memory());
    return table ? 0 : table.error().code;
  };
  EXPECT_EQ(code(), EINVAL) << "empty";
  EXPECT_NE(create(), nullptr);
  EXPECT_EQ(code(), 0);
  EXPECT_EQ(peek<std::uint64_t>(0), load<std::uint64_t>(as_bytes("SPILLOPN")));
  for (const off_t field : {0, 8, 16, 24, 28}) {
    const auto good = peek<std::uint32_t>(field);
    poke(field, good + (1U << 20) + 1);
    EXPECT_EQ(code(), EINVAL) << "at " << field;
    poke(field, good);
    EXPECT_EQ(code(), 0);
  }
  const off_t size = ::lseek(memory_.get(), 0, SEEK_END);
  for (const off_t wrong : {size - 1, size + 1}) {
    ASSERT_EQ(::ftruncate(memory_.get(), wrong), 0);
    EXPECT_EQ(code(), EINVAL);
  }
  ASSERT_EQ(::ftruncate(memory_.get(), 0), 0);
  ASSERT_EQ(::ftruncate(memory_.get(), size), 0);
  EXPECT_EQ(code(), EINVAL) << "all zero: killed while it was made";
  EXPECT_EQ(OpenFiles::reopen(Fd()).error().code, EBADF);
  EXPECT_EQ(OpenFiles::create(Fd()).error().code, EBADF);
}

TEST_F(OpenFilesTest, IsFullAtItsMost) {
  auto table = create();
  HandleId last{};
  for (std::size_t i = 0; i < OpenFiles::kMost; ++i) {
    const auto id = table->add(kHandle);
    if (!id || !table->add(kFile)) FAIL() << i;
    last = *id;
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(table->add(kHandle).error().code, ENFILE);
    EXPECT_EQ(table->add(kFile).error().code, ENFILE);
    table = reopen();
  }
  EXPECT_EQ(table->handles().size(), OpenFiles::kMost);
  EXPECT_EQ(table->files().size(), OpenFiles::kMost);
  table->remove(last);
  table->remove(OpenFiles::FileRow{5});
  EXPECT_EQ(row_of(table->add(kHandle).value()), OpenFiles::kMost - 1);
  EXPECT_EQ(table->add(kFile).value(), OpenFiles::FileRow{5});
}

// Round i of a process to be killed: a handle whose fields are all i, in place of the last round's,
// and a file that grows to i bytes in segment i and is sealed. note_backing() says how far it is.
[[noreturn]] void work(OpenFiles& table, OpenFiles::FileRow row) {
  HandleId last{};
  for (int i = 1;; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    const OpenHandle handle{.inode = InodeId{n}, .request = RequestId{n}, .flags = i};
    const auto id = table.add(handle).value();
    table.remove(std::exchange(last, id));
    OpenFile file{.inode = InodeId{1}, .size = n, .segment = SegmentId{n}, .dirty = true};
    table.update(row, file);
    file.dirty = false;
    file.modified.seconds = i;
    table.update(row, file);
    table.note_backing(i);
  }
}

void check_killed(const OpenFiles& table) {
  const auto handles = table.handles();
  EXPECT_TRUE(handles.size() == 1 || handles.size() == 2) << handles.size();
  for (const auto& [id, handle] : handles) {
    const std::uint64_t round = number(handle.inode);
    EXPECT_EQ(handle.request, RequestId{round});
    EXPECT_EQ(handle.flags, static_cast<int>(round));
  }
  const auto files = table.files();
  ASSERT_EQ(files.size(), 1U);
  const OpenFile& file = files.front().second;
  const std::uint64_t ahead = number(file.segment) - file.size;
  EXPECT_TRUE(ahead == 0 || (ahead == 1 && file.dirty)) << ahead;
  const auto modified = static_cast<std::uint64_t>(file.modified.seconds);
  EXPECT_TRUE(file.dirty || modified == file.size) << modified;
}

TEST_F(OpenFilesTest, AKilledProcessLeavesNoHalfRow) {
  for (int kills = 1; kills <= 40; ++kills) {
    const auto table = create();
    const auto row = table->add(file_of(1)).value();
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      work(*table, row);
    }
    ASSERT_GT(child, 0);
    while (table->highest_backing() < kills * 7) std::this_thread::yield();
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    check_killed(*reopen());
  }
}

TEST_F(OpenFilesTest, AnotherProcessGoesOn) {
  const auto first = create()->add(kHandle).value();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto table = reopen();
    table->remove(first);
    const bool added = table->add(kHandle) && table->add(kFile);
    ::_exit(added ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto table = reopen();
  const auto handles = table->handles();
  ASSERT_EQ(handles.size(), 1U);
  EXPECT_NE(handles.front().first, first);
  EXPECT_EQ(handles.front().second, kHandle);
  EXPECT_THAT(table->files(), ElementsAre(Pair(OpenFiles::FileRow{0}, kFile)));
  EXPECT_EQ(row_of(table->add(kHandle).value()), 1U);
}

}  // namespace
}  // namespace spillfs::fs
