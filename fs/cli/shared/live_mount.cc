// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/live_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "fs/system/child_call.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kMost = 16 * kMiB;

// Of the mount itself: nothing that lies elsewhere, whatever its daemon says it is.
Result<std::string> read_file(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const Fd file(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
  struct stat found {};
  if (!file || ::fstat(file.get(), &found) != 0) return fail_errno(errno, "open " + path);
  if (!S_ISREG(found.st_mode)) return fail(EINVAL, path + " is not a file");
  std::string text;
  std::array<char, 65536> part{};
  while (text.size() <= kMost) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0) return fail_errno(errno, "read " + path);
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return fail(EFBIG, path + " has no end");
}

nlohmann::json parse(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

Result<std::string> read_control_text(const PinnedMount& mount, std::string_view name) {
  std::optional<UserIds> user;
  if (mount.is_strangers() && ::geteuid() == 0) {
    user = UserIds{.uid = mount.owner(), .gid = mount.group()};
  }
  const std::string path = fmt::format(".spillfs/{}", name);
  auto text = call_in_child(user, [&] { return read_file(mount.root(), path); });
  if (text) return text;
  const int code = text.error().code;
  if (code == ETIMEDOUT || code == EFBIG || code == EACCES || code == EPERM) {
    return fail(code, fmt::format("{}: {}", mount.path(), text.error().context));
  }
  return fail(EINVAL, fmt::format("no live spillfs is mounted on {}", mount.path()));
}

std::string read_control_text(const std::string& mountpoint, std::string_view name) {
  const auto mount = PinnedMount::at(mountpoint);
  if (!mount) return {};
  return read_control_text(*mount, name).value_or("");
}

nlohmann::json read_control_json(const std::string& mountpoint, std::string_view name) {
  return parse(read_control_text(mountpoint, name));
}

nlohmann::json read_status(const std::string& mountpoint) {
  return read_control_json(mountpoint, "status");
}

nlohmann::json read_status(const PinnedMount& mount) {
  return parse(read_control_text(mount, "status").value_or(""));
}

Result<PinnedMount> trusted_mount(const std::string& mountpoint) {
  auto mount = PinnedMount::at(mountpoint);
  if (!mount) return fail(EINVAL, fmt::format("no live spillfs is mounted on {}", mountpoint));
  if (!mount->is_strangers()) return mount;
  return fail(EPERM, fmt::format("{} is user {}'s mount; run this as that user", mountpoint,
                                 mount->owner()));
}

ExitCode exit_code_untrusted(const Error& error) {
  return error.code == EINVAL ? kExitMountpoint : kExitSystem;
}

}  // namespace spillfs::fs
