// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <random>
#include <vector>

#include "fs/cli/commands.h"
#include "fs/cli/shared/which_mount.h"
#include "fs/system/human.h"
#include "fs/system/signal_set.h"
#include "storage/base/bytes.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kPiece = kMiB;

// Its own directory in the one to measure; gone in the end, also after SIGINT and SIGTERM, which
// wait for the next object. It is held by descriptors: who owns the one around it may put something
// else at its path.
class Playground {
 public:
  static Result<std::unique_ptr<Playground>> make(const std::string& in) {
    std::string path = in + "/.spillfs-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return fail_errno(errno, "make a directory in " + in);
    constexpr int kHow = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    Fd around(::open(in.c_str(), kHow & ~O_NOFOLLOW));
    const std::string name = std::filesystem::path(path).filename();
    Fd folder(::openat(around.get(), name.c_str(), kHow));
    struct stat made {};
    const bool ours = folder && ::fstat(folder.get(), &made) == 0 && made.st_uid == ::geteuid() &&
                      std::filesystem::is_empty(fmt::format("/proc/self/fd/{}", folder.get()));
    if (!ours) return fail(ESTALE, fmt::format("{} is another directory now", path));
    return std::unique_ptr<Playground>(new Playground(std::move(around), name, std::move(folder)));
  }
  ~Playground() {
    const std::filesystem::path here = fmt::format("/proc/self/fd/{}", folder_.get());
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(here, error)) {
      ::unlinkat(folder_.get(), entry.path().filename().c_str(), 0);
    }
    ::unlinkat(around_.get(), name_.c_str(), AT_REMOVEDIR);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Playground(const Playground&) = delete;
  Playground& operator=(const Playground&) = delete;

  [[nodiscard]] int folder() const { return folder_.get(); }
  static bool is_ended() {
    sigset_t pending;
    ::sigpending(&pending);
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
  }

 private:
  Playground(Fd around, std::string name, Fd folder)
      : around_(std::move(around)), name_(std::move(name)), folder_(std::move(folder)) {
    const sigset_t ours = signal_set({SIGINT, SIGTERM});
    ::pthread_sigmask(SIG_BLOCK, &ours, &before_);
  }
  const Fd around_;
  const std::string name_;
  const Fd folder_;
  sigset_t before_{};
};

// No zeros and nothing that repeats within an object's first MiB: some disks make less of those.
std::vector<std::byte> random_bytes() {
  std::vector<std::byte> bytes(kPiece);
  std::mt19937_64 random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Result<> spill(int folder, const std::string& name, std::uint64_t size, Bytes piece) {
  Fd file(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "make " + name);
  for (std::uint64_t at = 0; at < size;) {
    const std::size_t count = std::min<std::uint64_t>(piece.size(), size - at);
    const ssize_t written = ::write(file.get(), piece.data(), count);
    if (written < 0) return fail_errno(errno, "write " + name);
    at += static_cast<std::uint64_t>(written);
  }
  if (::close(file.release()) != 0) return fail_errno(errno, "close " + name);
  return {};
}

Result<> restore(int folder, const std::string& name, std::uint64_t size, MutableBytes into) {
  const Fd file(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open " + name);
  std::uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), into.data(), into.size());
    if (got < 0) return fail_errno(errno, "read " + name);
    if (got == 0) break;
    total += static_cast<std::uint64_t>(got);
  }
  return total == size ? Result<>() : fail(EIO, name + " is shorter than it was written");
}

Result<> remove(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) != 0) return fail_errno(errno, "remove " + name);
  return {};
}

Result<> sync_directory(int folder) {
  if (::syncfs(folder) != 0) return fail_errno(errno, "sync");
  return {};
}

struct Phase {
  std::string name;
  std::vector<Seconds> each;  // sorted
  Seconds total{0};
};

Result<Phase> run_phase(const std::string& name, unsigned objects,
                        const std::function<Result<>(unsigned)>& step) {
  Phase phase{.name = name};
  for (unsigned number = 0; number < objects; ++number) {
    if (Playground::is_ended()) return fail(EINTR, "ended");
    const auto begin = Clock::now();
    SPILLFS_TRY(step(number));
    phase.each.emplace_back(Clock::now() - begin);
    phase.total += phase.each.back();
  }
  std::sort(phase.each.begin(), phase.each.end());
  return phase;
}

Result<std::vector<Phase>> measure(const std::string& directory, std::uint64_t size,
                                   unsigned objects) {
  const auto playground = SPILLFS_TRY(Playground::make(directory));
  std::vector<std::byte> bytes = random_bytes();
  std::vector<Phase> phases;
  phases.push_back(SPILLFS_TRY(run_phase("spill", objects, [&](unsigned number) {
    return spill(playground->folder(), std::to_string(number), size, bytes);
  })));
  phases.push_back(SPILLFS_TRY(
      run_phase("sync", 1, [&](unsigned) { return sync_directory(playground->folder()); })));
  phases.push_back(SPILLFS_TRY(run_phase("restore", objects, [&](unsigned number) {
    return restore(playground->folder(), std::to_string(number), size, bytes);
  })));
  phases.push_back(SPILLFS_TRY(run_phase("delete", objects, [&](unsigned number) {
    return remove(playground->folder(), std::to_string(number));
  })));
  return phases;
}

void print(const std::vector<Phase>& phases, std::uint64_t size, const BenchCommand& command,
           std::ostream& out) {
  out << fmt::format("{} objects of {}, one after the other, written and read by 1 MiB\n",
                     command.objects, human_size(static_cast<double>(size)));
  for (const Phase& phase : phases) {
    const auto count = static_cast<double>(phase.each.size());
    const double bytes = static_cast<double>(size) * command.objects;
    if (phase.name == "sync") {
      out << fmt::format("{:<8} {:>12}        until all of it was on disk\n", phase.name,
                         human_time(phase.total));
      continue;
    }
    const std::string rate = phase.name == "delete"
                                 ? fmt::format("{:.0f}/s", count / phase.total.count())
                                 : human_size(bytes / phase.total.count()) + "/s";
    out << fmt::format("{:<8} {:>12} {:>12}  an object: half within {}, at most {}\n", phase.name,
                       human_time(phase.total), rate, human_time(phase.each[phase.each.size() / 2]),
                       human_time(phase.each.back()));
  }
  out << "Restores come from memory where it has kept what was spilled; compare directories on an "
         "idle machine, several times.\n";
}

nlohmann::json as_json(const std::vector<Phase>& phases, std::uint64_t size,
                       const BenchCommand& command) {
  nlohmann::json json{
      {"directory", command.directory}, {"object_bytes", size}, {"objects", command.objects}};
  for (const Phase& phase : phases) {
    json[phase.name] = {{"seconds", phase.total.count()},
                        {"median_seconds", phase.each[phase.each.size() / 2].count()},
                        {"longest_seconds", phase.each.back().count()}};
  }
  return json;
}

}  // namespace

ExitCode run_bench(const BenchCommand& asked, Streams streams) {
  BenchCommand command = asked;
  const auto size = parse_size(command.size);
  if (!size) return report(size.error(), kExitUsage, streams);
  auto directory = only_mount(command.directory);
  if (!directory) return report(directory.error(), kExitMountpoint, streams);
  command.directory = *std::move(directory);
  const auto phases = measure(command.directory, *size, command.objects);
  if (!phases) return report(phases.error(), kExitSystem, streams);
  if (command.json) {
    streams.out << as_json(*phases, *size, command)
                       .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                << '\n';
  } else {
    print(*phases, *size, command, streams.out);
  }
  return kExitSuccess;
}

}  // namespace spillfs::fs
