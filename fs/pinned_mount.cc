// SPDX-License-Identifier: Apache-2.0
#include "fs/pinned_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "fs/descriptor_info.h"

namespace spillfs::fs {
namespace {

constexpr unsigned kUniqueId = 0x4000;  // STATX_MNT_ID_UNIQUE, which older headers do not have

std::string link_of(const Fd& file) { return fmt::format("/proc/self/fd/{}", file.get()); }

// As an ordinary user, whose mounts alone it takes out.
Result<> run_fusermount(const std::string& mountpoint) {
  std::array<std::string, 5> words{"fusermount3", "-u", "-z", "--", mountpoint};
  std::array<char*, 6> argv{};
  for (std::size_t i = 0; i < words.size(); ++i) argv.at(i) = words.at(i).data();
  pid_t child = 0;
  if (::posix_spawnp(&child, "fusermount3", nullptr, nullptr, argv.data(), environ) != 0) {
    return fail(ENOENT, "fusermount3 is needed to unmount as an ordinary user");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return fail(EPERM, "fusermount3 could not unmount " + mountpoint);
  return {};
}

// The mount whose root `root` is: the descriptor's own number and path, and not what is at that
// path by now.
std::optional<MountEntry> entry_of(const Fd& root) {
  const auto id = descriptor_number(root.get(), "mnt_id");
  std::error_code error;
  const std::string where = std::filesystem::read_symlink(link_of(root), error).string();
  if (!id || error) return std::nullopt;
  for (MountEntry& entry : mount_table()) {
    if (entry.id == *id && entry.where == where && entry.root == "/") return std::move(entry);
  }
  return std::nullopt;
}

}  // namespace

Result<PinnedMount> PinnedMount::at(const std::string& path) {
  const auto none = [&] { return fail(EINVAL, fmt::format("no spillfs is mounted on {}", path)); };
  Fd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return none();
  auto entry = entry_of(root);
  if (!entry || entry->type != kSpillfsType) return none();
  const auto owner = owner_of(*entry);
  if (!owner) return none();
  return PinnedMount(std::move(root), *std::move(entry), *owner);
}

bool PinnedMount::is_strangers() const { return owner() != 0 && owner() != ::geteuid(); }

std::uint64_t PinnedMount::unique_id() const {
  struct statx found {};
  constexpr int kHow = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;  // asks no daemon
  const bool told =
      ::statx(root_.get(), "", kHow, kUniqueId, &found) == 0 && (found.stx_mask & kUniqueId) != 0;
  return told ? found.stx_mnt_id : 0;
}

bool PinnedMount::is_dead() const {
  // Attributes may still come from the kernel's cache; statfs always asks.
  struct statfs found {};
  return ::fstatfs(root_.get(), &found) != 0 && errno == ENOTCONN;
}

Result<> PinnedMount::unmount() const {
  if (::umount2(link_of(root_).c_str(), MNT_DETACH) == 0 || errno == EINVAL) return {};
  if (errno != EPERM || ::geteuid() == 0) return fail_errno(errno, "unmount " + path());
  return run_fusermount(path());
}

}  // namespace spillfs::fs
