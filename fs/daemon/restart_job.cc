// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/restart_job.h"

#include <poll.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

#include "fs/system/child_program.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kJobPatience{5};

struct Free {
  void operator()(char* text) const { std::free(text); }  // NOLINT: from libsystemd
};

std::string own_unit() {
  char* unit = nullptr;
  if (::sd_pid_get_unit(0, &unit) < 0) return {};
  return std::unique_ptr<char, Free>(unit).get();
}

std::string read_all(const Fd& pipe) {
  std::string text;
  for (const auto end = Clock::now() + kJobPatience; Clock::now() < end;) {
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
  const std::string unit = own_unit();
  if (unit.empty()) return false;
  const auto child =
      start_program("systemctl", {"systemctl", "list-jobs", "--plain", "--no-legend", unit},
                    ChildErrors::kToOurs);
  if (!child) return false;
  const std::string jobs = read_all(child->output);
  ::kill(child->pid, SIGKILL);  // whoever called waits for all children
  return jobs.find(" restart ") != std::string::npos;
}

}  // namespace spillfs::fs
