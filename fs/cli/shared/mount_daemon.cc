// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/mount_daemon.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "fs/system/descriptor_info.h"
#include "fs/system/process_status.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

constexpr std::string_view kProgram = "spillfs";  // what the name of each version begins with

// Real, effective, saved and of the file system: of a program that is set-uid they differ.
bool is_users(pid_t process, uid_t user) {
  return ProcessStatus(process).numbers("Uid") == std::vector<std::uint64_t>(4, user);
}

bool is_spillfs(pid_t process) {
  std::error_code error;
  const auto program = files::read_symlink(fmt::format("/proc/{}/exe", process), error);
  if (!error) return program.filename().string().starts_with(kProgram);
  return ProcessStatus(process).line("Name").starts_with(kProgram);
}

// Whether it holds the mount's connection. Where that is not for us to see, or the kernel does not
// tell which connection a descriptor is, its program has to be a spillfs.
bool may_serve(pid_t process, const PinnedMount& mount) {
  std::error_code error;
  const files::directory_iterator all(fmt::format("/proc/{}/fd", process), error);
  if (error) return error == std::errc::permission_denied && is_spillfs(process);
  for (const auto& entry : all) {
    std::error_code ignored;
    if (files::read_symlink(entry.path(), ignored) != "/dev/fuse") continue;
    const std::string name = entry.path().filename();
    int file = 0;
    std::from_chars(name.data(), name.data() + name.size(), file);
    const auto connection = descriptor_number(file, "fuse_connection", process);
    if (!connection && is_spillfs(process)) return true;
    if (connection && mount.entry().device == fmt::format("0:{}", *connection)) return true;
  }
  return false;
}

}  // namespace

Result<Fd> supervisor_of(const PinnedMount& mount, const nlohmann::json& status) {
  const auto none = [&](std::string_view why) {
    return fail(ESRCH, fmt::format("the daemon of {} can't be told from other processes: {}",
                                   mount.path(), why));
  };
  const auto named = status.is_object() ? status.find("supervisor_pid") : status.end();
  if (named == status.end() || !named->is_number_integer()) return none("it names no process");
  const auto process = named->get<std::int64_t>();
  if (process <= 1 || process > std::numeric_limits<pid_t>::max()) {
    return none("it names no process");
  }
  const auto pid = static_cast<pid_t>(process);
  Fd held(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!held) return none("it may run in another container, or be gone");
  if (!is_users(pid, mount.owner())) {
    return none(fmt::format("process {} is not one of the user who mounted it", pid));
  }
  if (!may_serve(pid, mount)) {
    return none(fmt::format("process {} does not serve it", pid));
  }
  // While it runs its number is no other's: what was looked at was this process.
  pollfd ended{.fd = held.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, 0) != 0) return none("it has ended");
  return held;
}

Result<> send_signal(const Fd& process, int number) {
  if (::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0) == 0) return {};
  return fail_errno(errno, "signal the daemon");
}

}  // namespace spillfs::fs
