// SPDX-License-Identifier: Apache-2.0
// Several threads at once on one table of open files.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

#include "fs/volume/content/open_files.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kThreads = 4;
constexpr std::size_t kOpen = 50;  // of each thread at most
constexpr int kSteps = 20000;

// What one thread has open; nobody else has the same inode.
class Opener {
 public:
  Opener(OpenFiles& table, std::uint64_t first_inode)
      : table_(table), next_(first_inode), random_(first_inode) {}

  void run() {
    for (int i = 0; i < kSteps; ++i) step();
  }

  std::map<HandleId, OpenHandle> handles;
  std::map<OpenFiles::FileRow, OpenFile> files;
  std::vector<HandleId> closed;

 private:
  void step() {
    const OpenHandle handle{.inode = InodeId{next_++}, .request = RequestId{random_()}};
    if (handles.size() < kOpen && random_() % 2 == 0) {
      handles.emplace(table_.add(handle).value(), handle);
      const OpenFile file{.inode = handle.inode, .size = random_()};
      files.emplace(table_.add(file).value(), file);
    } else if (!handles.empty()) {
      close(std::next(handles.begin(), static_cast<int>(random_() % handles.size())));
    }
    for (auto& [row, file] : files) {
      file.size = random_();
      table_.update(row, file);
      if (random_() % 4 == 0) break;
    }
    table_.note_backing(static_cast<int>(random_() % 1000000));
  }

  void close(std::map<HandleId, OpenHandle>::iterator which) {
    if (!closed.empty()) table_.remove(closed[random_() % closed.size()]);  // long gone
    table_.remove(which->first);
    closed.push_back(which->first);
    handles.erase(which);
    table_.remove(files.begin()->first);
    files.erase(files.begin());
  }

  OpenFiles& table_;
  std::uint64_t next_;
  std::mt19937_64 random_;
};

TEST(OpenFilesThreads, DoNotDisturbEachOther) {
  const Fd memory(::memfd_create("test", MFD_CLOEXEC));
  auto table = OpenFiles::create(Fd(::dup(memory.get()))).value();
  std::vector<Opener> openers;
  for (std::uint64_t i = 0; i < kThreads; ++i) openers.emplace_back(*table, i * 1000000 + 1);
  {
    std::vector<std::jthread> threads;
    for (Opener& opener : openers) threads.emplace_back([&opener] { opener.run(); });
  }
  table = OpenFiles::reopen(Fd(::dup(memory.get()))).value();
  std::map<HandleId, OpenHandle> handles;
  std::map<OpenFiles::FileRow, OpenFile> files;
  std::vector<HandleId> ids;
  for (const Opener& opener : openers) {
    handles.insert(opener.handles.begin(), opener.handles.end());
    files.insert(opener.files.begin(), opener.files.end());
    ids.insert(ids.end(), opener.closed.begin(), opener.closed.end());
  }
  for (const auto& [id, handle] : handles) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << "a handle twice";
  const auto found = table->handles();
  EXPECT_EQ(found.size(), handles.size());
  EXPECT_TRUE(std::map(found.begin(), found.end()) == handles);
  const auto found_files = table->files();
  EXPECT_EQ(found_files.size(), files.size());
  EXPECT_TRUE(std::map(found_files.begin(), found_files.end()) == files);
  ASSERT_FALSE(found_files.empty());
  EXPECT_LT(static_cast<std::uint32_t>(found_files.back().first), kThreads * kOpen);
}

}  // namespace
}  // namespace spillfs::fs
