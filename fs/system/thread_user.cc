// SPDX-License-Identifier: Apache-2.0
#include "fs/system/thread_user.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "fs/system/process_status.h"
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

}  // namespace

// "Uid:" has four numbers; the last is for files. A thread that is not dumpable has a status that
// is root's file, and says the same.
std::optional<uid_t> user_by_proc(pid_t thread) {
  static const bool ours = proc_is_ours();
  const auto ids = ours ? ProcessStatus(thread).numbers("Uid") : std::vector<std::uint64_t>();
  if (ids.empty()) return std::nullopt;
  return static_cast<uid_t>(ids.back());
}

std::optional<uid_t> user_of_thread(pid_t thread) {
  if (thread <= 0) return std::nullopt;
  const auto user = from_pidfd(thread);
  return user ? user : user_by_proc(thread);
}

std::vector<unsigned long> thread_calls() { return {kGetInfo}; }

}  // namespace spillfs::fs
