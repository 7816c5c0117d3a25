// SPDX-License-Identifier: Apache-2.0
#include "fs/successor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kProbePause{10};
constexpr std::chrono::seconds kProbePatience{10};

}  // namespace

std::string own_program() {
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  constexpr std::string_view kGone = " (deleted)";
  if (path.ends_with(kGone)) path.resize(path.size() - kGone.size());
  return path;
}

Result<> probe_program(const std::string& program, const HandOver& what) {
  const Fd file = SPILLFS_TRY(write_hand_over(what));
  pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork to try " + program);
  if (child == 0) run_program(program, "--probe", file);
  for (auto waited = kProbePause; waited < kProbePatience; waited += kProbePause) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return {};
      return fail(ENOEXEC, program + " does not say that it can go on with this mount");
    }
    std::this_thread::sleep_for(kProbePause);
  }
  stop_for_good(child);
  return fail(ETIMEDOUT, program + " does not say whether it can go on with this mount");
}

void run_program(const std::string& program, const char* how, const Fd& hand_over) {
  const std::string file = std::to_string(hand_over.get());
  ::execl(program.c_str(), "spillfs", "take-over", how, file.c_str(), nullptr);
  ::_exit(EXIT_FAILURE);
}

void stop_for_good(pid_t& process) {
  const pid_t ending = std::exchange(process, kNoProcess);
  if (ending <= 0) return;
  ::kill(ending, SIGKILL);
  ::waitpid(ending, nullptr, 0);
}

}  // namespace spillfs::fs
