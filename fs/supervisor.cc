// SPDX-License-Identifier: Apache-2.0
#include "fs/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>

#include "fs/fuse_kernel.h"
#include "fs/fuse_mount.h"
#include "fs/worker.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

// Without looking into the last part: a dead mount can't be looked into.
Result<std::string> absolute_path(const std::string& path) {
  files::path plain = files::absolute(path).lexically_normal();
  if (plain.filename().empty()) plain = plain.parent_path();
  std::error_code error;
  const files::path parent = files::canonical(plain.parent_path(), error);
  if (error) return fail_errno(error.value(), "mountpoint " + path);
  return (parent / plain.filename()).string();
}

sigset_t supervisor_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  return signals;
}

// The worker tells through a pipe that it is ready ("+") or what went wrong (errno and text).
void tell_failure(int pipe, const Error& error) {
  const std::string text = fmt::format("{}\n{}", error.code, error.context);
  if (::write(pipe, text.data(), text.size()) < 0) spdlog::error("{}", describe(error));
}

Result<> await_worker(Fd pipe) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(pipe.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
    if (text == "+") return {};
  }
  const std::size_t line = text.find('\n');
  if (line == std::string::npos) return fail(EIO, "the worker died at its start; see the log");
  return fail(std::stoi(text.substr(0, line)), text.substr(line + 1));
}

[[noreturn]] void be_worker(WorkerStart start, Fd ready) {
  const auto done = run_worker(std::move(start), [&ready] {
    if (::write(ready.get(), "+", 1) == 1) ready.reset();
  });
  if (!done && ready) tell_failure(ready.get(), done.error());
  if (!done && !ready) spdlog::error("{}", describe(done.error()));
  spdlog::shutdown();
  ::_exit(done ? EXIT_SUCCESS : EXIT_FAILURE);
}

void leave_terminal() {
  const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere.get(), fd);
  if (::chdir("/") != 0) spdlog::warn("stays in the directory it was started in");
}

class Supervisor {
 public:
  explicit Supervisor(MountPlan plan) : plan_(std::move(plan)) {}
  Result<> start();
  ExitCode wait();

 private:
  Result<> fork_worker(std::vector<std::byte> init);
  void stop_worker();
  ExitCode worker_ended(int status);

  const MountPlan plan_;
  Fd fuse_;
  Fd staging_;
  pid_t worker_ = -1;
  bool stopping_ = false;
};

Result<> Supervisor::start() {
  const bool other = plan_.options.allow_other.value_or(::geteuid() == 0);
  fuse_ = SPILLFS_TRY(
      mount_fuse(plan_.mountpoint, plan_.store.path(), other ? AllowOther::kYes : AllowOther::kNo));
  auto init = answer_init(fuse_.get(), plan_.options.without);
  auto started = init ? fork_worker(*std::move(init)) : Result<>(tl::unexpected(init.error()));
  if (started) {
    auto ahead = set_read_ahead(plan_.mountpoint, plan_.options.read_ahead);
    if (!ahead)
      spdlog::info("read-ahead stays at the kernel's choice: {}", describe(ahead.error()));
    if (plan_.background) leave_terminal();
    return {};
  }
  fuse_.reset();
  if (auto unmounted = unmount_fuse(plan_.mountpoint); !unmounted) {
    spdlog::error("{}", describe(unmounted.error()));
  }
  return started;
}

Result<> Supervisor::fork_worker(std::vector<std::byte> init) {
  staging_ = Fd(::memfd_create("spillfs-staging", MFD_CLOEXEC));
  if (!staging_) return fail_errno(errno, "make the staging memory");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
  Fd from_worker(ends[0]);
  Fd to_supervisor(ends[1]);
  const pid_t supervisor = ::getpid();
  worker_ = ::fork();
  if (worker_ < 0) return fail_errno(errno, "fork the worker");
  if (worker_ == 0) {
    from_worker.reset();
    if (plan_.background) leave_terminal();  // the supervisor tells what goes wrong
    be_worker({.fuse = std::move(fuse_),
               .init = std::move(init),
               .staging = std::move(staging_),
               .store = &plan_.store,
               .options = plan_.options,
               .mountpoint = plan_.mountpoint,
               .supervisor = supervisor},
              std::move(to_supervisor));
  }
  to_supervisor.reset();
  auto ready = await_worker(std::move(from_worker));
  if (!ready) ::waitpid(worker_, nullptr, 0);
  return ready;
}

ExitCode Supervisor::wait() {
  const sigset_t signals = supervisor_signals();
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals, &info);
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) stop_worker();
    int status = 0;
    if (::waitpid(worker_, &status, WNOHANG) == worker_) return worker_ended(status);
  }
}

void Supervisor::stop_worker() {
  stopping_ = true;
  if (auto done = unmount_fuse(plan_.mountpoint); !done && is_mounted(plan_.mountpoint)) {
    spdlog::error("{}", describe(done.error()));
  }
  ::kill(worker_, SIGTERM);
}

// The last copy of the descriptor goes with it, so whoever still waits for the mount is told.
ExitCode Supervisor::worker_ended(int status) {
  fuse_.reset();
  const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
  if (!stopping_ && is_dead_mount(plan_.mountpoint)) {
    if (auto done = unmount_fuse(plan_.mountpoint); !done) {
      spdlog::error("{}", describe(done.error()));
    }
  }
  if (clean) return kExitSuccess;
  spdlog::critical("the worker of {} died ({}): the mount has ended, what was closed is kept",
                   plan_.mountpoint,
                   WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                       : fmt::format("exit code {}", WEXITSTATUS(status)));
  return kExitWorkerDied;
}

}  // namespace

Result<std::string> check_mountpoint(const std::string& mountpoint,
                                     const std::vector<std::string>& directories) {
  if (mountpoint.empty()) return fail(ENOENT, "the mountpoint has no name; give a directory");
  std::string path = SPILLFS_TRY(absolute_path(mountpoint));
  if (is_dead_mount(path)) {
    spdlog::warn("clearing away the dead mount on {}", path);
    SPILLFS_TRY(unmount_fuse(path));
  }
  if (is_mounted(path)) {
    return fail(EBUSY,
                fmt::format("{} is already mounted; 'spillfs umount {}' ends that", path, path));
  }
  std::error_code error;
  const files::file_status found = files::status(path, error);
  if (found.type() == files::file_type::not_found) {
    return fail(ENOENT,
                fmt::format("mountpoint {0} does not exist; 'mkdir -p {0}' makes it", path));
  }
  if (error) return fail_errno(error.value(), "mountpoint " + path);
  if (!files::is_directory(found)) {
    return fail(ENOTDIR, fmt::format("mountpoint {} is not a directory; give one", path));
  }
  if (!files::is_empty(path, error) || error) {
    return fail(ENOTEMPTY,
                fmt::format("mountpoint {} is not empty; the mount would hide its files", path));
  }
  for (const std::string& directory : directories) {
    const std::string real = files::weakly_canonical(directory).string();
    if (real == path || real.starts_with(path + "/")) {
      return fail(EINVAL, fmt::format("{} can't lie in the mountpoint of its store", real));
    }
  }
  return path;
}

Result<ExitCode> supervise(MountPlan plan, const std::function<void()>& ready) {
  const sigset_t signals = supervisor_signals();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  Supervisor supervisor(std::move(plan));
  SPILLFS_TRY(supervisor.start());
  ready();
  return supervisor.wait();
}

}  // namespace spillfs::fs
