// SPDX-License-Identifier: Apache-2.0
// One of several threads that do random operations on one Volume. Shared files consist of blocks
// that say where they belong, so that any thread can tell a good one; a file of its own each thread
// knows byte for byte.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/volume/volume.h"

namespace spillfs::tests {

constexpr unsigned kThreads = 6;
constexpr std::size_t kBlock = kKiB;
constexpr std::size_t kLargest = 160;  // blocks of a file

// Says which file it was written to, where, and by which write; the rest follows from that.
inline std::string make_block(InodeId inode, std::uint64_t position, std::uint64_t write) {
  std::array<std::uint64_t, kBlock / sizeof(std::uint64_t)> words{number(inode), position, write};
  std::mt19937_64 random(number(inode) ^ (position << 20) ^ (write << 40));
  std::generate(words.begin() + 3, words.end(), random);
  return std::string(as_text(std::as_bytes(std::span(words))));
}

// What every thread knows.
struct Shared {
  fs::Volume& volume;
  std::vector<InodeId> folders;
  // Files nobody changes; their blocks may be copied anywhere.
  std::vector<InodeId> sources;
};

// A file that only one thread writes.
struct Own {
  InodeId folder = kRootInode;
  std::string name;
  InodeId inode{};  // none: there is no such file now
  std::string bytes;
};

class Worker {
 public:
  Worker(const Shared& shared, unsigned which, std::uint64_t seed)
      : shared_(shared), volume_(shared.volume), which_(which), random_(seed * 1000 + which) {
    own_.name = fmt::format("own{}", which);
  }

  void run(std::uint64_t operations) {
    for (std::uint64_t i = 0; i < operations && !testing::Test::HasFailure(); ++i) step();
    while (!opens_.empty()) release();
    close_own();
  }

  const Own& own() const { return own_; }

 private:
  struct Open {
    fs::HandleId handle{};
    InodeId inode{};
    int flags = 0;
  };

  std::size_t pick(std::size_t count) { return random_() % count; }
  bool chance(unsigned percent) { return pick(100) < percent; }
  std::string name() { return fmt::format("n{}", pick(8)); }
  InodeId folder() { return shared_.folders[pick(shared_.folders.size())]; }
  Open& open() { return opens_[pick(opens_.size())]; }

  // True for success; an error that another thread's operations do not explain fails the test.
  template <class T>
  bool done(const char* what, const Result<T>& result, std::initializer_list<int> explained) {
    if (result) return true;
    const bool fine =
        std::find(explained.begin(), explained.end(), result.error().code) != explained.end();
    EXPECT_TRUE(fine) << what << ": " << describe(result.error());
    return false;
  }

  void step() {
    const std::size_t what = pick(100);
    if (what < 25) return own_step();
    if (what < 40 || opens_.empty()) return open_file();
    if (what < 60) return write();
    if (what < 70) return read();
    if (what < 73) return truncate();
    if (what < 75) return allocate();
    if (what < 77) return copy();
    if (what < 80) return seal();
    if (what < 87) return release();
    if (what < 91) return rename();
    if (what < 95) return unlink();
    if (what < 96) return link();
    if (what < 97) return folders();
    if (what < 98) return list();
    if (what < 99) return look();
    done("reclaim", volume_.reclaim_now(), {});
  }

  void open_file() {
    if (opens_.size() > 4) return release();
    const int flags = (chance(50) ? O_WRONLY : O_RDWR) | (chance(10) ? O_TRUNC : 0);
    const bool create = chance(70);
    Result<fs::Opened> opened = fail(ENOENT);
    const InodeId where = folder();
    if (create) {
      opened = volume_.create(where, name(), 0644, flags | (chance(20) ? O_EXCL : 0), {});
    } else if (const auto found = volume_.lookup(where, name()); done("lookup", found, {ENOENT})) {
      opened = volume_.open_file(InodeId{found->st_ino}, chance(50) ? O_RDONLY : flags);
    }
    if (!done("open", opened, {ENOENT, EEXIST, EISDIR})) return;
    opens_.push_back({opened->handle, InodeId{opened->attributes.st_ino}, create ? flags : 0});
  }

  void write() {
    const Open& file = open();
    const auto found = volume_.get_attributes(file.inode);
    if (!done("stat of an open file", found, {})) return;
    const std::uint64_t blocks = static_cast<std::uint64_t>(found->st_size) / kBlock;
    const std::uint64_t first = chance(70) ? blocks : pick(kLargest);
    const std::size_t count = 1 + pick(chance(80) ? 8 : 60);
    if (first + count > kLargest) return;
    std::string text;
    const std::uint64_t write = ++writes_ * kThreads + which_;
    for (std::size_t i = 0; i < count; ++i) text += make_block(file.inode, first + i, write);
    const auto written = again([&](auto wait) {
      return volume_.write(file.handle, as_bytes(text), first * kBlock, wait);
    });
    done("write", written, {EBADF, fs::kWaitForDisk});
  }

  void read() {
    const Open& file = open();
    const std::uint64_t first = pick(kLargest);
    std::string text((1 + pick(40)) * kBlock, '?');
    const auto into = std::as_writable_bytes(std::span(text));
    const auto got = volume_.read(file.handle, into, first * kBlock);
    if (!done("read", got, {EBADF})) return;
    EXPECT_EQ(*got % kBlock, 0U);
    for (std::size_t i = 0; i < *got / kBlock; ++i) {
      check_block(file.inode, first + i, text.substr(i * kBlock, kBlock));
    }
  }

  void check_block(InodeId inode, std::uint64_t position, const std::string& block) {
    const auto word = [&](std::size_t i) {
      return load<std::uint64_t>(as_bytes(block).subspan(i));
    };
    const InodeId writer{word(0)};
    if (writer == InodeId{}) {
      EXPECT_EQ(block, std::string(kBlock, '\0'));
      return;
    }
    const auto& sources = shared_.sources;
    EXPECT_TRUE(writer == inode ||
                std::find(sources.begin(), sources.end(), writer) != sources.end())
        << "inode " << number(inode) << " has a block of " << number(writer);
    EXPECT_EQ(word(8), position);
    EXPECT_TRUE(block == make_block(writer, position, word(16))) << "a block is torn";
  }

  void truncate() {
    const std::uint64_t size = chance(30) ? 0 : pick(kLargest) * kBlock;
    done("truncate", volume_.set_attributes(open().inode, {.mode = {}, .size = size}), {});
  }

  void allocate() {
    constexpr std::array kModes{0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
    const std::uint64_t first = pick(kLargest / 2);
    done("allocate",
         volume_.allocate(open().handle, kModes.at(pick(kModes.size())), first * kBlock,
                          (1 + pick(kLargest / 2)) * kBlock),
         {EBADF});
  }

  void copy() {
    const InodeId source = shared_.sources[pick(shared_.sources.size())];
    const auto from = volume_.open_file(source, O_RDONLY);
    if (!done("open a source", from, {})) return;
    const std::uint64_t offset = pick(kLargest / 4) * kBlock;
    done("copy", volume_.copy_range(from->handle, offset, open().handle, offset, pick(40) * kBlock),
         {EBADF});
    done("release a source", volume_.release(from->handle), {});
  }

  // As a receive thread does, which never waits for the disk.
  Result<> again(const std::function<Result<>(storage::DiskWait)>& call) {
    if (chance(50)) return call(storage::DiskWait::kWait);
    for (;;) {
      auto result = call(storage::DiskWait::kCallAgain);
      if (result || result.error().code != fs::kWaitForDisk) return result;
      if (chance(5)) return result;  // its sender was killed
      std::this_thread::yield();
    }
  }

  void seal() {
    if (chance(70)) {
      const fs::HandleId handle = open().handle;
      done("flush", again([&](auto wait) { return volume_.flush(handle, wait); }),
           {fs::kWaitForDisk});
    } else {
      done("fsync", volume_.fsync(open().handle), {});
    }
  }

  void release() {
    const std::size_t which = pick(opens_.size());
    done("release", volume_.release(opens_[which].handle), {});
    opens_.erase(opens_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void rename() {
    const unsigned flags = chance(70) ? 0 : chance(50) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    done("rename", volume_.rename(folder(), name(), folder(), name(), flags),
         {ENOENT, EEXIST, EISDIR, ENOTDIR});
  }

  void unlink() { done("unlink", volume_.unlink(folder(), name()), {ENOENT, EISDIR}); }

  void link() { done("link", volume_.link(open().inode, folder(), name()), {EEXIST}); }

  void folders() {
    if (chance(60)) {
      done("mkdir", volume_.mkdir(folder(), name(), 0755, {}), {EEXIST});
    } else {
      done("rmdir", volume_.rmdir(folder(), name()), {ENOENT, ENOTDIR});
    }
  }

  void list() {
    std::set<std::string> names;
    std::uint64_t after = 0;
    const InodeId where = folder();
    for (;;) {
      const auto page = volume_.list(where, after, 5);
      if (!done("list", page, {}) || page->empty()) break;
      for (const auto& entry : *page) {
        after = entry.cookie;
        names.insert(entry.name);
      }
    }
    EXPECT_TRUE(names.contains(".") && names.contains(".."));
  }

  void look() {
    const auto space = volume_.statfs();
    EXPECT_TRUE(space && space->f_bfree <= space->f_blocks);
    EXPECT_GE(volume_.status().inodes, 1);
    const InodeId inode = open().inode;
    done("set an xattr", volume_.set_xattr(inode, "user.who", fmt::format("{}", which_), 0), {});
    const auto who = volume_.get_xattr(inode, "user.who");
    EXPECT_TRUE(who && std::stoul(*who) < kThreads);
    done("objects", volume_.ray_objects(inode), {});
  }

  void own_step() {
    if (own_.inode == InodeId{}) return make_own();
    const std::size_t what = pick(100);
    if (what < 45) return write_own();
    if (what < 60) return check_own();
    if (what < 66) return truncate_own();
    if (what < 76) return move_own();
    if (what < 92) return close_own();
    remove_own();
  }

  void make_own() {
    own_.folder = folder();
    const int flags = chance(70) ? O_WRONLY : O_RDWR;
    const auto made = volume_.create(own_.folder, own_.name, 0600, flags | O_EXCL, {});
    if (!done("create its own", made, {})) return;
    own_.inode = InodeId{made->attributes.st_ino};
    own_.bytes.clear();
    handle_ = made->handle;
  }

  void write_own() {
    if (!handle_) {
      const auto opened = volume_.open_file(own_.inode, chance(50) ? O_WRONLY : O_RDWR);
      if (!done("open its own", opened, {})) return;
      handle_ = opened->handle;
    }
    std::string text(1 + pick(chance(80) ? 9000 : 60000), '\0');
    std::generate(text.begin(), text.end(), [this] { return static_cast<char>(random_()); });
    const std::size_t offset = chance(80) ? own_.bytes.size() : pick(own_.bytes.size() + 5000);
    if (offset + text.size() > kLargest * kBlock) return truncate_own();
    const auto written =
        again([&](auto wait) { return volume_.write(*handle_, as_bytes(text), offset, wait); });
    if (!done("write its own", written, {fs::kWaitForDisk})) return;
    own_.bytes.resize(std::max(own_.bytes.size(), offset + text.size()));
    own_.bytes.replace(offset, text.size(), text);
  }

  void check_own() {
    const auto opened = volume_.open_file(own_.inode, O_RDONLY);
    if (!done("open its own to read", opened, {})) return;
    EXPECT_EQ(static_cast<std::size_t>(opened->attributes.st_size), own_.bytes.size());
    std::string text(own_.bytes.size() + 1, '?');
    const auto got = volume_.read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
    if (done("read its own", got, {})) {
      text.resize(*got);
      EXPECT_TRUE(text == own_.bytes) << own_.name;
    }
    done("release its own", volume_.release(opened->handle), {});
  }

  void truncate_own() {
    const std::size_t size = chance(40) ? 0 : pick(own_.bytes.size() + 3000);
    const auto cut = volume_.set_attributes(own_.inode, {.mode = {}, .size = size});
    if (done("truncate its own", cut, {})) own_.bytes.resize(size);
  }

  void move_own() {
    const InodeId to = folder();
    if (done("rename its own", volume_.rename(own_.folder, own_.name, to, own_.name, 0), {})) {
      own_.folder = to;
    }
  }

  void close_own() {
    if (handle_) done("close its own", volume_.release(*handle_), {});
    handle_.reset();
    if (own_.inode != InodeId{}) check_own();
  }

  // Without its name it is what it was, for as long as it is open.
  void remove_own() {
    const auto reader = volume_.open_file(own_.inode, O_RDONLY);
    if (!done("open its own once more", reader, {})) return;
    done("unlink its own", volume_.unlink(own_.folder, own_.name), {});
    if (handle_) write_own();
    close_own();
    done("release what was unlinked", volume_.release(reader->handle), {});
    own_.inode = InodeId{};
  }

  const Shared& shared_;
  fs::Volume& volume_;
  const unsigned which_;
  std::mt19937_64 random_;
  std::vector<Open> opens_;
  std::uint64_t writes_ = 0;
  Own own_;
  std::optional<fs::HandleId> handle_;  // of its own file
};

}  // namespace spillfs::tests
