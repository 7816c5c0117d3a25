// SPDX-License-Identifier: Apache-2.0
// A Volume whose N-th I/O fails, for every N: the operation under way tells it, afterwards every
// file has its old bytes or its new ones, everything acknowledged before stays, and the Volume goes
// on, or starts again, without a leak.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "tests/support/fake_kernel.h"
#include "tests/support/faulty_index.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

using storage::FaultKind;
using Files = std::map<std::string, std::string>;  // name -> bytes, of the root directory

constexpr const char* kFolder = "(a directory)";

std::string bytes(char first, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(first + i % 61);
  return text;
}

// What a program's close does: flush, then release. The first error is told.
Result<> close(fs::Volume& volume, fs::HandleId handle, Result<> done) {
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
};

// A Volume and, where it has a kernel that writes by itself, what that writes to.
struct Side {
  fs::Volume& volume;
  const TestStore* backing = nullptr;
};

Result<> write(const Side& side, const fs::Opened& to, Bytes from, std::uint64_t offset) {
  if (to.mode != fs::IoMode::kPassthrough) return side.volume.write(to.handle, from, offset);
  return backing_file(*side.backing, InodeId{to.attributes.st_ino})->write(from, offset);
}

// Opens, writes in pieces, closes.
Result<> put(const Side& side, const std::string& name, const std::string& text, Put how = {}) {
  constexpr std::size_t kPiece = 40000;
  fs::Volume& volume = side.volume;
  const auto opened = SPILLFS_TRY(volume.create(kRootInode, name, 0644, how.flags, {}));
  Result<> done;
  for (std::size_t at = 0; done && at < text.size(); at += kPiece) {
    done = write(side, opened, as_bytes(text).subspan(at).first(std::min(kPiece, text.size() - at)),
                 how.offset + at);
    if (done && how.flush) done = volume.flush(opened.handle);
  }
  if (done && how.sync) done = volume.fsync(opened.handle);
  return close(volume, opened.handle, std::move(done));
}

Result<> resize(fs::Volume& volume, const std::string& name, std::uint64_t size) {
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

Step write_step(const std::string& name, const std::string& text, Put how = {}) {
  return {"write " + name, [=](const Side& side) { return put(side, name, text, how); },
          [=](Files& files) {
            std::string& all = files[name];
            if ((how.flags & O_TRUNC) != 0) all.clear();
            all.resize(std::max<std::uint64_t>(all.size(), how.offset + text.size()));
            all.replace(how.offset, text.size(), text);
          },
          (how.flags & O_TRUNC) != 0};
}

Step resize_step(const std::string& name, std::uint64_t size) {
  return {"truncate " + name, [=](const Side& side) { return resize(side.volume, name, size); },
          [=](Files& files) { files[name].resize(size); }};
}

Step unlink_step(const std::string& name) {
  return {"unlink " + name, [=](const Side& side) { return side.volume.unlink(kRootInode, name); },
          [=](Files& files) { files.erase(name); }};
}

Step rename_step(const std::string& from, const std::string& to, unsigned flags) {
  return {
      "rename " + from,
      [=](const Side& side) { return side.volume.rename(kRootInode, from, kRootInode, to, flags); },
      [=](Files& files) {
        if (flags == RENAME_EXCHANGE) return std::swap(files[from], files[to]);
        files[to] = files[from];
        files.erase(from);
      }};
}

Step reclaim_step() {
  return {"reclaim", [](const Side& side) { return side.volume.reclaim_now(); }};
}

Step punch_step(const std::string& name, std::uint64_t offset, std::uint64_t length) {
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

Step link_step(const std::string& name, const std::string& other) {
  return {"link " + name,
          [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            SPILLFS_TRY(volume.link(InodeId{found.st_ino}, kRootInode, other));
            return {};
          },
          [=](Files& files) { files[other] = files[name]; }};
}

Step mkdir_step(const std::string& name) {
  return {"mkdir " + name,
          [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            SPILLFS_TRY(volume.mkdir(kRootInode, name, 0755, {}));
            return {};
          },
          [=](Files& files) { files[name] = kFolder; }};
}

Step xattr_step(const std::string& name) {
  return {"setxattr " + name, [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            return volume.set_xattr(InodeId{found.st_ino}, "user.spill.metadata", "PYTHON", 0);
          }};
}

std::vector<Step> workload() {
  std::vector<Step> steps{
      write_step("small", bytes('a', 5000)),
      write_step("synced", bytes('b', 20000), {.sync = true}),
      write_step("big", bytes('c', 150000)),
      write_step("small", bytes('d', 3000), {.offset = 1000, .flags = O_RDWR}),
      write_step("big", bytes('e', 30000), {.offset = 50000, .flags = O_RDWR, .sync = true}),
      write_step("big", bytes('f', 20000), {.offset = 150000, .flags = O_WRONLY | O_APPEND}),
      write_step("big", bytes('g', 500), {.offset = 260000, .flags = O_WRONLY}),
      punch_step("big", 8192, 40960),
      write_step("in place", bytes('i', 120000), {.flags = O_RDWR | O_CREAT, .flush = true}),
      write_step("in order", bytes('o', 130000), {.flush = true}),
      resize_step("big", 70000),
      resize_step("synced", 100),
      resize_step("big", 90000),
      resize_step("synced", 0),
      write_step("small", bytes('h', 9000), {.flags = O_WRONLY | O_CREAT | O_TRUNC}),
      rename_step("small", "other", 0),
      rename_step("other", "big", RENAME_EXCHANGE),
      rename_step("synced", "other", 0),
      mkdir_step("folder"),
      link_step("big", "linked"),
      xattr_step("big"),
  };
  for (int i = 0; i < 14; ++i) {
    steps.push_back(write_step(fmt::format("f{}", i), bytes(static_cast<char>('a' + i), 30000)));
  }
  for (int i = 0; i < 11; ++i) steps.push_back(unlink_step(fmt::format("f{}", i)));
  steps.push_back(reclaim_step());
  steps.push_back(write_step("recycled", bytes('r', 100000)));
  steps.push_back(unlink_step("recycled"));
  steps.push_back(reclaim_step());
  steps.push_back(write_step("again", bytes('s', 90000)));
  steps.push_back(write_step("again", bytes('t', 10), {.offset = 5, .flags = O_RDWR}));
  steps.push_back(unlink_step("linked"));
  steps.push_back(reclaim_step());
  return steps;
}

std::string read_file(fs::Volume& volume, InodeId id) {
  const auto opened = volume.open_file(id, O_RDONLY);
  if (!opened) return "open: " + describe(opened.error());
  std::string text(static_cast<std::size_t>(opened->attributes.st_size), '?');
  const auto got = volume.read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
  EXPECT_TRUE(volume.release(opened->handle));
  if (!got) return "read: " + describe(got.error());
  text.resize(*got);
  return text;
}

Files read_all(fs::Volume& volume) {
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
bool is_between(const std::string& found, const std::string& before, const std::string& after,
                bool through_empty) {
  const std::size_t least = through_empty ? 0 : std::min(before.size(), after.size());
  if (found.size() < least || found.size() > std::max(before.size(), after.size())) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const char old = i < before.size() ? before[i] : '\0';
    if (found[i] != old && (i >= after.size() || found[i] != after[i])) return false;
  }
  return true;
}

std::string names(const Files& files) {
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
};

void expect_allowed(const Files& found, const Outcome& outcome, const std::string& what) {
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

Outcome run(const Side& side, const std::vector<Step>& steps) {
  Outcome outcome;
  for (const Step& step : steps) {
    const auto done = step.run(side);
    step.effect(outcome.after);
    if (!done) {
      outcome.failed = step.what + ": " + describe(done.error());
      outcome.through_empty = step.through_empty;
      return outcome;
    }
    outcome.before = outcome.after;
  }
  return outcome;
}

// How large files are written.
enum class Mode : std::uint8_t { kCached, kDirect, kPassthrough };

const char* name_of(Mode mode) {
  constexpr std::array kNames{"cached", "direct", "passthrough"};
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
    auto volume = SPILLFS_TRY(store_.open(std::move(options)));
    kernel_ = {};
    if (mode_ == Mode::kPassthrough) volume->set_kernel(kernel_.side());
    return volume;
  }
  // The kernel's own writes do not fail.
  Side side(fs::Volume& volume) const { return {.volume = volume, .backing = &whole_}; }
  std::size_t lent() const { return kernel_.lent.size(); }
  // The mode in which files have been written.
  Mode uses(fs::Volume& volume) const {
    if (kernel_.last != 0) return Mode::kPassthrough;
    return volume.status().direct_files != 0 ? Mode::kDirect : Mode::kCached;
  }
  // SIGKILL: nothing is written any more.
  void kill(std::unique_ptr<fs::Volume> volume) const {
    plan->fail_at(1, {.code = EIO, .kind = FaultKind::kForGood});
    volume.reset();
    plan->clear();
  }
  std::string problems() const { return store_.problems(); }

  std::shared_ptr<storage::FaultPlan> plan = std::make_shared<storage::FaultPlan>();

 private:
  const Mode mode_;
  const TestStore whole_;
  TestStore store_ = whole_;
  FakeKernel kernel_;
};

enum class End : std::uint8_t { kGoesOn, kKilled };

struct Case {
  const char* name;
  int code;
  FaultKind kind;
  End end;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// The errors are wanted; their log lines are not.
class QuietTest : public testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void TearDown() override { spdlog::set_level(spdlog::level::info); }
};

class RecoveryFault : public QuietTest {};
class VolumeFault : public QuietTest, public testing::WithParamInterface<std::tuple<Case, Mode>> {};

// The Volume after the fault: reads all, writes on, and counts what a fresh start would count.
void goes_on(FaultyStore& store, std::unique_ptr<fs::Volume>& volume, Outcome& outcome,
             const std::string& what) {
  const Files now = read_all(*volume);
  expect_allowed(now, outcome, what + ", live");
  outcome.before = outcome.after = now;
  ASSERT_TRUE(put(store.side(*volume), "probe", bytes('p', 12000))) << what;
  ASSERT_TRUE(put(store.side(*volume), "large probe", bytes('q', 80000))) << what;
  outcome.before["probe"] = outcome.after["probe"] = bytes('p', 12000);
  outcome.before["large probe"] = outcome.after["large probe"] = bytes('q', 80000);
  ASSERT_TRUE(volume->reclaim_now());
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

TEST_P(VolumeFault, EveryIoOfAWorkload) {
  const auto& [fault, mode] = GetParam();
  const std::vector<Step> steps = workload();
  std::uint64_t n = 1;
  for (bool fired = true; fired && !HasFailure(); ++n) {
    FaultyStore store(mode);
    auto volume = store.open().value();
    store.plan->fail_at(n, {.code = fault.code, .kind = fault.kind});
    Outcome outcome = run(store.side(*volume), steps);
    fired = store.plan->fired();
    EXPECT_TRUE(fired || store.uses(*volume) == mode) << name_of(mode);
    const std::string what =
        fmt::format("I/O {} fails{}{}", n, outcome.failed.empty() ? "" : " in ", outcome.failed);
    if (fault.end == End::kGoesOn) {
      store.plan->clear();
      goes_on(store, volume, outcome, what);
    } else {
      store.kill(std::move(volume));
      volume = store.open().value();
    }
    if (HasFailure()) break;
    expect_allowed(read_all(*volume), outcome, what + ", after a restart");
    ASSERT_TRUE(volume->reclaim_now());
    volume.reset();
    EXPECT_EQ(store.problems(), "") << what;
  }
  EXPECT_GT(n, 300U) << "the workload does too little";
  RecordProperty("operations", std::to_string(n));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, VolumeFault,
    testing::Combine(testing::Values(Case{"once", EIO, FaultKind::kOnce, End::kGoesOn},
                                     Case{"no_space", ENOSPC, FaultKind::kOnce, End::kGoesOn},
                                     Case{"half_write", EIO, FaultKind::kHalfWrite, End::kGoesOn},
                                     Case{"once_then_killed", EIO, FaultKind::kOnce, End::kKilled},
                                     Case{"half_write_then_killed", EIO, FaultKind::kHalfWrite,
                                          End::kKilled},
                                     Case{"disk_gone", EIO, FaultKind::kForGood, End::kKilled}),
                     testing::Values(Mode::kCached, Mode::kDirect, Mode::kPassthrough)),
    [](const auto& c) {
      return fmt::format("{}_{}", std::get<0>(c.param).name, name_of(std::get<1>(c.param)));
    });

// A store with work left: a file never sealed, one without names still open, segments half done.
TEST_F(RecoveryFault, EveryIoOfARecovery) {
  bool fired = true;
  for (std::uint64_t n = 1; fired && !testing::Test::HasFailure(); ++n) {
    FaultyStore store;
    auto volume = store.open().value();
    Outcome outcome = run(store.side(*volume), workload());
    ASSERT_EQ(outcome.failed, "");
    const auto unsealed =
        volume->create(kRootInode, "unsealed", 0644, O_WRONLY | O_CREAT, {}).value();
    ASSERT_TRUE(volume->write(unsealed.handle, as_bytes(bytes('u', 20000)), 0));
    const auto streaming =
        volume->create(kRootInode, "streaming", 0644, O_WRONLY | O_CREAT, {}).value();
    ASSERT_TRUE(volume->write(streaming.handle, as_bytes(bytes('u', 60000)), 0));
    const auto orphan = volume->lookup(kRootInode, "again").value();
    ASSERT_TRUE(volume->open_file(InodeId{orphan.st_ino}, O_RDWR));
    ASSERT_TRUE(volume->unlink(kRootInode, "again"));
    outcome.before.erase("again");
    outcome.after.erase("again");
    store.kill(std::move(volume));

    store.plan->fail_at(n, {});
    auto opened = store.open();
    fired = store.plan->fired();
    if (opened) {
      store.plan->clear();
      expect_allowed(read_all(**opened), outcome, fmt::format("I/O {} of the first start", n));
      store.kill(std::move(*opened));
    }
    store.plan->clear();
    volume = store.open().value();
    expect_allowed(read_all(*volume), outcome, fmt::format("after I/O {} of a start failed", n));
    ASSERT_TRUE(volume->reclaim_now());
    volume.reset();
    EXPECT_EQ(store.problems(), "") << n;
  }
}

}  // namespace
}  // namespace spillfs::tests
