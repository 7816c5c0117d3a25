// SPDX-License-Identifier: Apache-2.0
// What programs do to a Volume, as steps that say what they change, and a store whose I/O fails on
// demand: for tests that fail one I/O after the other.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_kernel.h"
#include "tests/support/faulty_index.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {

using Files = std::map<std::string, std::string>;  // name -> bytes, of the root directory

inline constexpr const char* kFolder = "(a directory)";

inline std::string bytes(char first, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(first + i % 61);
  return text;
}

// What a program's close does: flush, then release. The first error is told.
inline Result<> close(fs::Volume& volume, fs::HandleId handle, Result<> done) {
  const auto flushed = volume.flush(handle);
  const auto released = volume.release(handle);
  if (!done) return done;
  return flushed ? released : flushed;
}

struct Put {
  std::uint64_t offset = 0;
  int flags = O_WRONLY | O_CREAT;
  bool sync = false;
  bool flush = false;  // after each piece, as closing a duplicate does
  pid_t writer = 0;
};

// A Volume and, where it has a kernel that writes by itself, what that writes to.
struct Side {
  fs::Volume& volume;
  const TestStore* backing = nullptr;
};

inline Result<> write(const Side& side, const fs::Opened& to, Bytes from, std::uint64_t offset) {
  if (to.mode != fs::IoMode::kPassthrough) return side.volume.write(to.handle, from, offset);
  return backing_file(*side.backing, InodeId{to.attributes.st_ino})->write(from, offset);
}

// Opens, writes in pieces, closes.
inline Result<> put(const Side& side, const std::string& name, const std::string& text,
                    Put how = {}) {
  constexpr std::size_t kPiece = 40000;
  fs::Volume& volume = side.volume;
  const auto opened =
      SPILLFS_TRY(volume.create(kRootInode, name, 0644, how.flags, {.pid = how.writer}));
  Result<> done;
  for (std::size_t at = 0; done && at < text.size(); at += kPiece) {
    done = write(side, opened, as_bytes(text).subspan(at).first(std::min(kPiece, text.size() - at)),
                 how.offset + at);
    if (done && how.flush) done = volume.flush(opened.handle);
  }
  if (done && how.sync) done = volume.fsync(opened.handle);
  return close(volume, opened.handle, std::move(done));
}

inline Result<> resize(fs::Volume& volume, const std::string& name, std::uint64_t size) {
  const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
  SPILLFS_TRY(volume.set_attributes(InodeId{found.st_ino}, {.mode = {}, .size = size}));
  return {};
}

struct Step {
  std::string what;
  std::function<Result<>(const Side&)> run;
  std::function<void(Files&)> effect = [](Files&) {};
  bool through_empty = false;  // the file may be left empty
};

inline Step write_step(const std::string& name, const std::string& text, Put how = {}) {
  return {"write " + name, [=](const Side& side) { return put(side, name, text, how); },
          [=](Files& files) {
            std::string& all = files[name];
            if ((how.flags & O_TRUNC) != 0) all.clear();
            all.resize(std::max<std::uint64_t>(all.size(), how.offset + text.size()));
            all.replace(how.offset, text.size(), text);
          },
          (how.flags & O_TRUNC) != 0};
}

inline Step resize_step(const std::string& name, std::uint64_t size) {
  return {"truncate " + name, [=](const Side& side) { return resize(side.volume, name, size); },
          [=](Files& files) { files[name].resize(size); }};
}

inline Step unlink_step(const std::string& name) {
  return {"unlink " + name, [=](const Side& side) { return side.volume.unlink(kRootInode, name); },
          [=](Files& files) { files.erase(name); }};
}

inline Step rename_step(const std::string& from, const std::string& to, unsigned flags) {
  return {
      "rename " + from,
      [=](const Side& side) { return side.volume.rename(kRootInode, from, kRootInode, to, flags); },
      [=](Files& files) {
        if (flags == RENAME_EXCHANGE) return std::swap(files[from], files[to]);
        files[to] = files[from];
        files.erase(from);
      }};
}

inline Step reclaim_step() {
  return {"reclaim", [](const Side& side) {
            auto done = side.volume.reclaim_now();
            side.volume.sum_now();
            return done;
          }};
}

inline Step punch_step(const std::string& name, std::uint64_t offset, std::uint64_t length) {
  return {"punch " + name,
          [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto opened = SPILLFS_TRY(volume.create(kRootInode, name, 0, O_RDWR, {}));
            return close(volume, opened.handle,
                         volume.allocate(opened.handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         offset, length));
          },
          [=](Files& files) { files[name].replace(offset, length, length, '\0'); }};
}

inline Step link_step(const std::string& name, const std::string& other) {
  return {"link " + name,
          [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            SPILLFS_TRY(volume.link(InodeId{found.st_ino}, kRootInode, other));
            return {};
          },
          [=](Files& files) { files[other] = files[name]; }};
}

inline Step mkdir_step(const std::string& name) {
  return {"mkdir " + name,
          [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            SPILLFS_TRY(volume.mkdir(kRootInode, name, 0755, {}));
            return {};
          },
          [=](Files& files) { files[name] = kFolder; }};
}

inline Step xattr_step(const std::string& name) {
  return {"setxattr " + name, [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            return volume.set_xattr(InodeId{found.st_ino}, "user.spill.metadata", "PYTHON", 0);
          }};
}

inline std::string read_file(fs::Volume& volume, InodeId id) {
  const auto opened = volume.open_file(id, O_RDONLY);
  if (!opened) return "open: " + describe(opened.error());
  std::string text(static_cast<std::size_t>(opened->attributes.st_size), '?');
  const auto got = volume.read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
  EXPECT_TRUE(volume.release(opened->handle));
  if (!got) return "read: " + describe(got.error());
  text.resize(*got);
  return text;
}

inline Files read_all(fs::Volume& volume) {
  Files files;
  const auto entries = volume.list(kRootInode, 2, 1000);
  EXPECT_TRUE(entries) << "list";
  if (!entries) return files;
  for (const auto& entry : *entries) {
    files[entry.name] = S_ISDIR(entry.attributes.st_mode)
                            ? kFolder
                            : read_file(volume, InodeId{entry.attributes.st_ino});
  }
  return files;
}

// Every byte is of the old content or of the new; between them a hole may show.
inline bool is_between(const std::string& found, const std::string& before,
                       const std::string& after, bool through_empty) {
  const std::size_t least = through_empty ? 0 : std::min(before.size(), after.size());
  if (found.size() < least || found.size() > std::max(before.size(), after.size())) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const char old = i < before.size() ? before[i] : '\0';
    if (found[i] != old && (i >= after.size() || found[i] != after[i])) return false;
  }
  return true;
}

inline std::string names(const Files& files) {
  std::string text;
  for (const auto& [name, content] : files) text += name + " ";
  return text;
}

// What a run has acknowledged: `before`, and what the failed step would have made of it.
struct Outcome {
  Files before;
  Files after;
  bool through_empty = false;
  std::string failed;  // the step that told an error
  int code = 0;        // the error
};

// The file is open, and has no name any more.
inline void leave_open_orphan(fs::Volume& volume, const std::string& name, Outcome& outcome) {
  const auto orphan = volume.lookup(kRootInode, name).value();
  ASSERT_TRUE(volume.open_file(InodeId{orphan.st_ino}, O_RDWR));
  ASSERT_TRUE(volume.unlink(kRootInode, name));
  outcome.before.erase(name);
  outcome.after.erase(name);
}

inline void expect_allowed(const Files& found, const Outcome& outcome, const std::string& what) {
  const std::string have = names(found);
  ASSERT_TRUE(have == names(outcome.before) || have == names(outcome.after))
      << what << ": " << have << "\nbefore: " << names(outcome.before);
  for (const auto& [name, text] : found) {
    const auto old = outcome.before.find(name);
    const auto young = outcome.after.find(name);
    const std::string before = old != outcome.before.end() ? old->second : "";
    const std::string after = young != outcome.after.end() ? young->second : "";
    const bool gone = young == outcome.after.end();
    EXPECT_TRUE(gone ? text == before : is_between(text, before, after, outcome.through_empty))
        << what << ": " << name << " has " << text.size() << " bytes: " << text.substr(0, 60)
        << "\nbefore " << before.size() << ", after " << after.size();
  }
}

// Ends with the first step that fails.
inline Outcome run(const Side& side, const std::vector<Step>& steps, Outcome outcome = {}) {
  for (const Step& step : steps) {
    const auto done = step.run(side);
    step.effect(outcome.after);
    if (!done) {
      outcome.failed = step.what + ": " + describe(done.error());
      outcome.code = done.error().code;
      outcome.through_empty = step.through_empty;
      return outcome;
    }
    outcome.before = outcome.after;
  }
  return outcome;
}

// How large files are written.
enum class Mode : std::uint8_t {
  kCached,
  kDirect,
  kPassthrough,
  kByWriter,  // kDirect for writer kDirectWriter, kCached for the others, with a limit of dirty
              // bytes
};
inline constexpr pid_t kDirectWriter = 1;

inline const char* name_of(Mode mode) {
  constexpr std::array kNames{"cached", "direct", "passthrough", "by_writer"};
  return kNames.at(static_cast<std::size_t>(mode));
}

class FaultyStore {
 public:
  explicit FaultyStore(Mode mode = Mode::kCached) : mode_(mode) {
    for (auto& device : store_.devices) {
      device = std::make_shared<storage::FaultyDevice>(device, plan);
    }
    store_.index = std::make_shared<FaultyIndex>(store_.index, plan);
  }

  Result<std::unique_ptr<fs::Volume>> open() {
    fs::VolumeOptions options{.fuse_limit = 32 * kKiB, .reclaim_in_background = false};
    if (mode_ == Mode::kDirect) options.write_directly = [](pid_t) { return true; };
    if (mode_ == Mode::kByWriter) {
      options.write_directly = [](pid_t writer) { return writer == kDirectWriter; };
      options.write_behind = 32 * kKiB;
    }
    auto volume = SPILLFS_TRY(store_.open(std::move(options)));
    kernel_.emplace();
    if (mode_ == Mode::kPassthrough) volume->set_kernel(kernel_->side());
    return volume;
  }
  // The kernel's own writes do not fail.
  Side side(fs::Volume& volume) const { return {.volume = volume, .backing = &whole_}; }
  std::size_t lent() const { return kernel_->lent.size(); }
  // The mode in which files have been written.
  Mode uses(fs::Volume& volume) const {
    if (kernel_->last != 0) return Mode::kPassthrough;
    return volume.status().direct_files != 0 ? Mode::kDirect : Mode::kCached;
  }
  // SIGKILL: nothing is written any more.
  void kill(std::unique_ptr<fs::Volume> volume) const {
    plan->fail_at(1, {.code = EIO, .kind = storage::FaultKind::kForGood});
    volume.reset();
    plan->clear();
  }
  std::string problems() const { return store_.problems(); }

  std::shared_ptr<storage::FaultPlan> plan = std::make_shared<storage::FaultPlan>();

 private:
  const Mode mode_;
  const TestStore whole_;
  TestStore store_ = whole_;
  std::optional<FakeKernel> kernel_{std::in_place};  // another one for each mount
};

// The Volume after the fault: reads all, writes on, and counts what a fresh start would count.
inline void goes_on(FaultyStore& store, std::unique_ptr<fs::Volume>& volume, Outcome& outcome,
                    const std::string& what) {
  const Files now = read_all(*volume);
  expect_allowed(now, outcome, what + ", live");
  outcome.before = outcome.after = now;
  ASSERT_TRUE(put(store.side(*volume), "probe", bytes('p', 12000))) << what;
  ASSERT_TRUE(put(store.side(*volume), "large probe", bytes('q', 80000))) << what;
  outcome.before["probe"] = outcome.after["probe"] = bytes('p', 12000);
  outcome.before["large probe"] = outcome.after["large probe"] = bytes('q', 80000);
  ASSERT_TRUE(volume->reclaim_now());
  volume->sum_now();
  const auto live = volume->status();
  EXPECT_EQ(live.handles, 0U) << what;
  EXPECT_EQ(store.lent(), 0U) << what;
  EXPECT_EQ(live.staging_free, kMiB) << what;
  volume.reset();
  EXPECT_EQ(store.problems(), "") << what;
  volume = store.open().value();
  const auto fresh = volume->status();
  EXPECT_EQ(live.charged, fresh.charged) << what;
  EXPECT_EQ(live.inodes, fresh.inodes) << what;
  EXPECT_EQ(live.dead, fresh.dead) << what;
}

}  // namespace spillfs::tests
