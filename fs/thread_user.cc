// SPDX-License-Identifier: Apache-2.0
#include "fs/thread_user.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

// As in linux/pidfd.h, which is older on some distributions, or not there.
constexpr unsigned kOfThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
struct Info {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(Info) == 64);
constexpr std::uint64_t kCredentials = 2;                  // PIDFD_INFO_CREDS
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, Info);  // PIDFD_GET_INFO, Linux 6.13

std::optional<uid_t> from_pidfd(pid_t thread) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, thread, kOfThread)));
  Info info{};
  info.mask = kCredentials;
  if (!process || ::ioctl(process.get(), kGetInfo, &info) != 0) return std::nullopt;
  if ((info.mask & kCredentials) == 0) return std::nullopt;
  return info.fsuid;
}

bool is_own_proc() {
  std::error_code none;
  return std::filesystem::read_symlink("/proc/self", none) == std::to_string(::getpid());
}

}  // namespace

// Of /proc/PID/status, whose line "Uid:" has four numbers; the last is for files. That of a thread
// which is not dumpable is root's file and says the same.
std::optional<uid_t> user_by_proc(pid_t thread) {
  // That of another process namespace has other threads under the same numbers.
  static const bool ours = is_own_proc();
  if (!ours) return std::nullopt;
  const Fd file(::open(fmt::format("/proc/{}/status", thread).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 4096> bytes{};
  const ssize_t got = ::read(file.get(), bytes.data(), bytes.size());
  std::string_view text(bytes.data(), got < 0 ? 0 : static_cast<std::size_t>(got));
  constexpr std::string_view kLine = "\nUid:";
  const std::size_t at = text.find(kLine);
  if (at == std::string_view::npos) return std::nullopt;
  text = text.substr(at + kLine.size());
  text = text.substr(0, text.find('\n'));
  const std::size_t last = text.rfind('\t');
  if (last == std::string_view::npos) return std::nullopt;
  text = text.substr(last + 1);
  uid_t user = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), user);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return user;
}

std::optional<uid_t> user_of_thread(pid_t thread) {
  if (thread <= 0) return std::nullopt;
  const auto user = from_pidfd(thread);
  return user ? user : user_by_proc(thread);
}

std::vector<unsigned long> thread_calls() { return {kGetInfo}; }

}  // namespace spillfs::fs
