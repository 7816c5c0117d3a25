// SPDX-License-Identifier: Apache-2.0
#include "fs/restart_job.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{5};

struct Free {
  void operator()(char* text) const { std::free(text); }  // NOLINT: from libsystemd
};

std::string own_unit() {
  char* unit = nullptr;
  if (::sd_pid_get_unit(0, &unit) < 0) return {};
  return std::unique_ptr<char, Free>(unit).get();
}

// Starts a program with its output in `output`; its end is not waited for.
pid_t start(std::array<std::string, 5> words, int output) {
  std::array<char*, 6> argv{};
  for (std::size_t i = 0; i < words.size(); ++i) argv.at(i) = words.at(i).data();
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  sigset_t nothing;
  sigemptyset(&nothing);
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &nothing);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child = 0;
  if (::posix_spawnp(&child, argv[0], &files, &attributes, argv.data(), environ) != 0) child = -1;
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return child;
}

std::string read_all(const Fd& pipe) {
  std::string text;
  for (const auto end = Clock::now() + kPatience; Clock::now() < end;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd readable{.fd = pipe.get(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 512> part{};
    const ssize_t got = ::read(pipe.get(), part.data(), part.size());
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

bool is_being_restarted() {
  std::array<int, 2> ends{};
  const std::string unit = own_unit();
  if (unit.empty() || ::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child =
      start({"systemctl", "list-jobs", "--plain", "--no-legend", unit}, theirs.get());
  if (child < 0) return false;
  theirs.reset();
  const std::string jobs = read_all(ours);
  ::kill(child, SIGKILL);  // whoever called waits for all children
  return jobs.find(" restart ") != std::string::npos;
}

}  // namespace spillfs::fs
