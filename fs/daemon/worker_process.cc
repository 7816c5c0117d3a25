// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/worker_process.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "fs/daemon/start_report.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kLived{1};
constexpr std::chrono::seconds kSlowEnd{5};

}  // namespace

Result<> WorkerProcess::start(SupervisorCounts& counts,
                              const std::function<void(Fd ready)>& serve) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
  told_ = Fd(ends[0]);
  Fd ready(ends[1]);
  serves_ = fail(EAGAIN, "not known yet");
  slow_at_.reset();
  counts.serving = 0;
  pid_ = ::fork();
  if (pid_ < 0) return fail_errno(errno, "fork the worker");
  if (pid_ > 0) return {};
  told_.reset();
  serve(std::move(ready));
  ::_exit(EXIT_FAILURE);
}

void WorkerProcess::adopt(pid_t pid) {
  pid_ = pid;
  serves_ = Clock::now();
}

void WorkerProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

std::optional<int> WorkerProcess::reap() {
  int status = 0;
  for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (ended != pid_) continue;
    pid_ = kNoProcess;
    return status;
  }
  return std::nullopt;
}

Result<WorkerProcess::Clock::time_point> WorkerProcess::await(
    std::optional<Clock::duration> patience,
    const std::function<std::chrono::milliseconds()>& pause) {
  const auto begin = Clock::now();
  StartReport report;
  while (!patience || Clock::now() - begin < *patience) {
    if (const auto told = report.read(told_, pause())) return serves_ = *told;
  }
  return serves_ = fail(ETIMEDOUT, "the worker does not come up");
}

bool WorkerProcess::has_lived(const std::function<std::chrono::milliseconds()>& pause) {
  if (!serves_ && !await({}, pause)) spdlog::error("{}", describe(serves_.error()));
  return serves_ && Clock::now() - *serves_ >= kLived;
}

bool WorkerProcess::lacked_something() const {
  constexpr std::array kShortages{ENOSPC, EDQUOT, ENOMEM, EAGAIN, EMFILE, ENFILE};
  return !serves_ &&
         std::find(kShortages.begin(), kShortages.end(), serves_.error().code) != kShortages.end();
}

bool WorkerProcess::is_slow_to_end() {
  const auto now = Clock::now();
  if (!slow_at_) slow_at_ = now + kSlowEnd;
  if (now < *slow_at_) return false;
  slow_at_ = Clock::time_point::max();
  return true;
}

}  // namespace spillfs::fs
