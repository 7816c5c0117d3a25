// SPDX-License-Identifier: Apache-2.0
// A process that serves a Volume dies at its N-th I/O, for every N, and after every request it has
// done but not answered. The next one goes on as its kernel asks: that request comes again, all
// handles are still in use. No request fails, and in the end every file has its bytes.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "index/rocksdb_index.h"
#include "storage/file_device.h"
#include "tests/support/faulty_index.h"
#include "tests/support/resending_client.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

constexpr int kFailed = 98;
std::string bytes(char first, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(first + i % 61);
  return text;
}

using Step = std::function<Result<>(Client&)>;
using Files = std::map<std::string, std::string>;  // those that are there in the end

struct Script {
  std::string name;
  std::vector<Step> steps;
  Files files;
  bool lends = false;  // the kernel does I/O by itself
};

std::ostream& operator<<(std::ostream& out, const Script& script) { return out << script.name; }

// Where a process dies.
struct Death {
  std::uint64_t at_io = 0;     // before this one, from 1; 0: not
  std::size_t after_step = 0;  // done, not answered; 0: not
};

// One store and what outlives the processes that serve it.
class Mount {
 public:
  Mount()
      : memory_(
            static_cast<KernelMemory*>(::mmap(nullptr, sizeof(KernelMemory), PROT_READ | PROT_WRITE,
                                              MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
        staging_(::memfd_create("staging", MFD_CLOEXEC)),
        open_files_(::memfd_create("open files", MFD_CLOEXEC)) {
    std::filesystem::create_directory(folder_.path() + "/data");
  }
  ~Mount() { ::munmap(memory_, sizeof(KernelMemory)); }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  // Serves `script` from where it is in a process of its own; its exit code.
  int serve(const Script& script, fs::Volume::Start start, Death death) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto done = run(script, start, death);
      if (!done)
        fmt::format_to_n(memory_->failure.begin(), memory_->failure.size() - 1, "{}",
                         describe(done.error()));
      ::_exit(done ? 0 : kFailed);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
  }

  [[nodiscard]] const KernelMemory& memory() const { return *memory_; }

 private:
  Result<std::unique_ptr<fs::Volume>> open(fs::Volume::Start start,
                                           const std::shared_ptr<storage::FaultPlan>& plan) {
    const bool again = start == fs::Volume::Start::kRestart;
    std::vector<std::unique_ptr<storage::Device>> devices;
    std::shared_ptr<storage::Device> device =
        SPILLFS_TRY(storage::FileDevice::open_directory(folder_.path() + "/data"));
    devices.push_back(std::make_unique<storage::FaultyDevice>(device, plan));
    storage::SegmentOptions segments{.segment_size = 256 * kKiB};
    segments.preallocate_step = 128 * kKiB;
    fs::Volume::Parts parts;
    parts.segments = SPILLFS_TRY(storage::SegmentStore::open(std::move(devices), {}, segments));
    std::shared_ptr<index::Index> index =
        SPILLFS_TRY(index::RocksdbIndex::open(folder_.path() + "/index", {}));
    parts.index = std::make_unique<FaultyIndex>(index, plan);
    Fd staging(::dup(staging_.get()));
    Fd open_files(::dup(open_files_.get()));
    parts.staging = SPILLFS_TRY(again ? storage::Staging::reopen(std::move(staging), 8 * kMiB)
                                      : storage::Staging::create(std::move(staging), 8 * kMiB));
    parts.open_files = SPILLFS_TRY(again ? fs::OpenFiles::reopen(std::move(open_files))
                                         : fs::OpenFiles::create(std::move(open_files)));
    parts.start = start;
    parts.take_back = [this](int id) { take_back(id); };
    return fs::Volume::open(std::move(parts), {.fuse_limit = 32 * kKiB,
                                               .reclaim_in_background = false,
                                               .write_directly = [](pid_t) { return true; }});
  }

  Result<> run(const Script& script, fs::Volume::Start start, Death death) {
    auto plan = std::make_shared<storage::FaultPlan>();
    auto volume = SPILLFS_TRY(open(start, plan));
    if (death.at_io != 0) plan->fail_at(death.at_io, {.kind = storage::FaultKind::kDies});
    volume->set_kernel(kernel_side(script));
    while (memory_->answered < script.steps.size()) {
      const std::size_t now = memory_->answered + 1;
      Client client(*volume, *memory_, memory_->sent == now);
      memory_->sent = now;
      if (auto done = script.steps[now - 1](client); !done) {
        return fail(done.error().code, fmt::format("step {}: {}", now, describe(done.error())));
      }
      if (death.after_step == now) ::_exit(storage::kDied);
      memory_->answered = now;
      volume->answered(RequestId{now});
    }
    plan->clear();
    SPILLFS_TRY(check(*volume, script.files));
    SPILLFS_TRY(volume->reclaim_now());
    volume->sum_now();
    if (std::count(memory_->lent.begin(), memory_->lent.end(), true) != 0) {
      return fail(EIO, "a backing file is still lent");
    }
    volume.reset();
    return {};
  }

  fs::Volume::Kernel kernel_side(const Script& script) {
    fs::Volume::Kernel kernel;
    kernel.holds = [](InodeId) { return false; };
    kernel.take_back = [this](int id) { take_back(id); };
    if (script.lends) {
      kernel.lend = [this](int) -> Result<int> {
        memory_->lent.at(static_cast<std::size_t>(++memory_->last_backing)) = true;
        return memory_->last_backing;
      };
    }
    return kernel;
  }

  void take_back(int id) { memory_->lent.at(static_cast<std::size_t>(id)) = false; }

  static Result<> check(fs::Volume& volume, const Files& files) {
    const auto names = SPILLFS_TRY(volume.list(kRootInode, 2, 100));
    if (names.size() != files.size()) {
      return fail(EIO, fmt::format("{} names, not {}", names.size(), files.size()));
    }
    for (const auto& [name, text] : files) {
      const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
      if (S_ISDIR(found.st_mode)) continue;
      const auto opened = SPILLFS_TRY(volume.open_file(InodeId{found.st_ino}, O_RDONLY));
      std::string got(text.size() + 1, '\0');
      const MutableBytes into = std::as_writable_bytes(std::span(got));
      got.resize(SPILLFS_TRY(volume.read(opened.handle, into, 0)));
      SPILLFS_TRY(volume.release(opened.handle));
      if (got != text || found.st_size != static_cast<off_t>(text.size())) {
        return fail(EIO,
                    fmt::format("{} has {} bytes, not these {}", name, got.size(), text.size()));
      }
    }
    return {};
  }

  TemporaryFolder folder_;
  KernelMemory* const memory_;
  Fd staging_;
  Fd open_files_;
};

class Restart : public testing::TestWithParam<Script> {
 protected:
  // One process dies there; the next goes on to the end, or dies as soon as it begins and a third
  // does. Whether the first one died.
  static bool dies_and_goes_on(Death death, std::uint64_t second_death) {
    const Script& script = GetParam();
    Mount mount;
    const int first = mount.serve(script, fs::Volume::Start::kMount, death);
    if (first == 0) return false;
    EXPECT_EQ(first, storage::kDied) << mount.memory().failure.data();
    int last = storage::kDied;
    if (second_death != 0) {
      last = mount.serve(script, fs::Volume::Start::kRestart, {.at_io = second_death});
    }
    if (last == storage::kDied) last = mount.serve(script, fs::Volume::Start::kRestart, {});
    EXPECT_EQ(last, 0) << mount.memory().failure.data() << "\ndied at I/O " << death.at_io
                       << " or after step " << death.after_step << ", then at " << second_death;
    return true;
  }
};

TEST_P(Restart, GoesOnAfterDyingAtEachIo) {
  std::uint64_t n = 1;
  while (dies_and_goes_on({.at_io = n}, n % 3) && !HasFailure()) ++n;
  EXPECT_GT(n, GetParam().steps.size() / 2);
}

TEST_P(Restart, GoesOnAfterDyingBeforeEachAnswer) {
  for (std::size_t step = 1; step <= GetParam().steps.size() && !HasFailure(); ++step) {
    EXPECT_TRUE(dies_and_goes_on({.after_step = step}, step % 2));
  }
}

constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL;
constexpr int kNewBoth = O_RDWR | O_CREAT | O_EXCL;
const std::string kSmall = bytes('a', 10'000);
const std::string kMore = bytes('b', 9'000);
const std::string kLarge = bytes('c', 300'000);
const std::string kEnd = bytes('d', 77'777);

Script staged() {
  return {
      "staged",
      {[](Client& c) { return c.create(0, "a", kNew); },
       [](Client& c) { return c.write(0, kSmall, 0); },
       [](Client& c) { return c.create(1, "b", kNew); },
       [](Client& c) { return c.write(1, kMore, 0); },
       [](Client& c) { return c.write(0, kMore, kSmall.size()); },
       [](Client& c) { return c.flush(0); }, [](Client& c) { return c.flush(0); },
       [](Client& c) { return c.release(0); }, [](Client& c) { return c.rename("a", "renamed"); },
       [](Client& c) { return c.open(0, "renamed", O_RDONLY); },
       [](Client& c) { return c.expect(0, kSmall + kMore); }, [](Client& c) { return c.fsync(1); },
       [](Client& c) { return c.write(1, kSmall, kMore.size()); },
       [](Client& c) { return c.flush(1); }, [](Client& c) { return c.release(1); },
       [](Client& c) { return c.release(0); }},
      {{"renamed", kSmall + kMore}, {"b", kMore + kSmall}}};
}

Script streamed() {
  return {
      "streamed",
      {[](Client& c) { return c.create(0, "a", kNew); },
       [](Client& c) { return c.write(0, kSmall, 0); },
       [](Client& c) { return c.write(0, kLarge, kSmall.size()); },
       [](Client& c) { return c.write(0, kEnd, kSmall.size() + kLarge.size()); },
       [](Client& c) { return c.flush(0); },
       [](Client& c) { return c.write(0, kSmall, kSmall.size() + kLarge.size() + kEnd.size()); },
       [](Client& c) { return c.open(1, "a", O_RDONLY); },
       [](Client& c) { return c.expect(1, kSmall + kLarge + kEnd + kSmall); },
       [](Client& c) { return c.flush(0); }, [](Client& c) { return c.release(0); },
       [](Client& c) { return c.expect(1, kSmall + kLarge + kEnd + kSmall); },
       [](Client& c) { return c.release(1); }},
      {{"a", kSmall + kLarge + kEnd + kSmall}}};
}

Script changed_in_place() {
  std::string end = kLarge;
  end.replace(1000, kMore.size(), kMore);
  end.resize(250'000);
  end.resize(260'000);
  return {"changed_in_place",
          {[](Client& c) { return c.create(0, "a", kNew); },
           [](Client& c) { return c.write(0, kLarge, 0); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.open(0, "a", O_RDWR); },
           [](Client& c) { return c.write(0, kMore, 1000); },
           [](Client& c) { return c.resize_open(0, 250'000); },
           [](Client& c) { return c.allocate(0, 0, 260'000); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.create(0, "b", kNew); },
           [](Client& c) { return c.write(0, kSmall, 0); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.open(0, "b", O_WRONLY | O_APPEND); },
           [](Client& c) { return c.write(0, kMore, kSmall.size()); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.open(0, "b", O_WRONLY | O_TRUNC); },
           [](Client& c) { return c.write(0, kMore, 0); },
           [](Client& c) { return c.resize_open(0, 100); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.resize("b", 50); }},
          {{"a", end}, {"b", kMore.substr(0, 50)}}};
}

Script names() {
  return {"names",
          {[](Client& c) { return c.mkdir("d"); },
           [](Client& c) { return c.rmdir("d"); },
           [](Client& c) { return c.mkdir("d"); },
           [](Client& c) { return c.create(0, "a", kNewBoth); },
           [](Client& c) { return c.unlink("a"); },
           [](Client& c) { return c.write(0, kSmall, 0); },
           [](Client& c) { return c.create(1, "a", kNewBoth); },
           [](Client& c) { return c.write(1, kLarge, 0); },
           [](Client& c) { return c.unlink("a"); },
           [](Client& c) { return c.write(1, kEnd, kLarge.size()); },
           [](Client& c) { return c.expect(0, kSmall); },
           [](Client& c) { return c.expect(1, kLarge + kEnd); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.release(1); },
           [](Client& c) { return c.create(0, "x", kNew); },
           [](Client& c) { return c.write(0, kSmall, 0); },
           [](Client& c) { return c.link("x", "y"); },
           [](Client& c) { return c.rename("y", "z"); },
           [](Client& c) { return c.set_xattr("z", "value"); },
           [](Client& c) { return c.unlink("x"); },
           [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.create(0, "replaced", kNew); },
           [](Client& c) { return c.rename("z", "replaced"); },
           [](Client& c) { return c.release(0); },
           [](Client& c) { return c.tmpfile(0); },
           [](Client& c) { return c.write(0, kSmall, 100); },
           [](Client& c) { return c.release(0); }},
          {{"d", ""}, {"replaced", kSmall}}};
}

Script passed_through() {
  std::string end = kLarge;
  end.replace(0, kMore.size(), kMore);
  return {"passed_through",
          {[](Client& c) { return c.create(0, "a", O_RDWR | O_CREAT | O_EXCL); },
           [](Client& c) { return c.write(0, kLarge, 0); },
           [](Client& c) { return c.open(1, "a", O_RDWR); }, [](Client& c) { return c.flush(0); },
           [](Client& c) { return c.write(1, kMore, 0); }, [](Client& c) { return c.release(0); },
           [](Client& c) { return c.flush(1); }, [](Client& c) { return c.release(1); },
           [](Client& c) { return c.open(0, "a", O_RDONLY); },
           [](Client& c) { return c.open(1, "a", O_RDONLY); },
           [](Client& c) { return c.release(1); }, [](Client& c) { return c.release(0); }},
          {{"a", end}},
          true};
}

INSTANTIATE_TEST_SUITE_P(Faults, Restart,
                         testing::Values(staged(), streamed(), changed_in_place(), names(),
                                         passed_through()),
                         [](const auto& at) { return at.param.name; });

}  // namespace
}  // namespace spillfs::tests
