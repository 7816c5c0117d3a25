// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/successor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kProbePatience{10};

}  // namespace

std::string own_program() {
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  constexpr std::string_view kGone = " (deleted)";
  if (path.ends_with(kGone)) path.resize(path.size() - kGone.size());
  return path;
}

Result<> probe_program(const std::string& program, const HandOver& what,
                       const std::function<void()>& pause) {
  const Fd file = SPILLFS_TRY(write_hand_over(what));
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork to try " + program);
  if (child == 0) run_program(program, "--probe", file);
  for (const auto end = Clock::now() + kProbePatience; Clock::now() < end; pause()) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return {};
      return fail(ENOEXEC, program + " does not say that it can go on with this mount");
    }
  }
  ::kill(child, SIGKILL);
  return fail(ETIMEDOUT, program + " does not say whether it can go on with this mount");
}

void run_program(const std::string& program, const char* how, const Fd& hand_over) {
  const std::string file = std::to_string(hand_over.get());
  ::execl(program.c_str(), "spillfs", "take-over", how, file.c_str(), nullptr);
  ::_exit(EXIT_FAILURE);
}

}  // namespace spillfs::fs
