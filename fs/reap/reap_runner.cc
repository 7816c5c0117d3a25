// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/reap_runner.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "fs/rights/own_rights.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kEndLook{100};  // how late an end is heard at most
constexpr char kRun = 'r';
constexpr char kEnd = '\0';  // after the last line of a run

// The program's end comes with the helper's, however that comes.
[[noreturn]] void become_reap(int socket, const BackgroundReapOptions& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(socket, STDOUT_FILENO);
  ::dup2(socket, STDERR_FILENO);
  const std::string age = fmt::format("{}s", options.older_than.count());
  ::execl("/proc/self/exe", "spillfs", "reap", options.mountpoint.c_str(), "--json", "--older-than",
          age.c_str(), nullptr);
  ::_exit(EXIT_FAILURE);
}

// False when the worker has gone meanwhile.
bool wait_for(pid_t child, int socket) {
  while (::waitpid(child, nullptr, WNOHANG) == 0) {
    pollfd worker{.fd = socket, .events = POLLRDHUP, .revents = 0};
    if (::poll(&worker, 1, static_cast<int>(kEndLook.count())) == 0) continue;
    ::kill(child, SIGKILL);  // not waited for: it may wait for the mount, which no one serves
    return false;
  }
  return true;
}

void serve_runs(int socket, const BackgroundReapOptions& options) {
  for (char asked = 0; ::read(socket, &asked, 1) == 1;) {
    const pid_t child = ::fork();
    if (child == 0) become_reap(socket, options);
    if (child > 0 && !wait_for(child, socket)) return;
    if (::write(socket, &kEnd, 1) != 1) return;
  }
}

}  // namespace

ReapRunner::ReapRunner(const BackgroundReapOptions& options) {
  auto helper = HelperProcess::start(kReaperCapabilities,
                                     [&options](int socket) { serve_runs(socket, options); });
  if (helper) {
    helper_.emplace(*std::move(helper));
  } else {
    why_not_ = describe(helper.error());
  }
}

Result<> ReapRunner::run(const std::stop_token& stop,
                         const std::function<void(std::string_view)>& line) {
  if (!helper_) return fail(ECHILD, why_not_);
  if (::write(helper_->socket(), &kRun, 1) != 1) return fail_errno(errno, "ask for a run");
  std::string said;
  pollfd readable{.fd = helper_->socket(), .events = POLLIN, .revents = 0};
  while (!stop.stop_requested()) {
    if (::poll(&readable, 1, static_cast<int>(kEndLook.count())) == 0) continue;
    std::array<char, 4096> part{};
    const ssize_t got = ::read(helper_->socket(), part.data(), part.size());
    if (got <= 0) return fail(ECHILD, "its helper has ended");
    said.append(part.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = said.find('\n')) != std::string::npos;) {
      line(std::string_view(said).substr(0, end));
      said.erase(0, end + 1);
    }
    if (said.ends_with(kEnd)) return {};
  }
  helper_.reset();
  why_not_ = "stopped";
  return {};
}

}  // namespace spillfs::fs
