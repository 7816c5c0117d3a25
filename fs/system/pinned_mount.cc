// SPDX-License-Identifier: Apache-2.0
#include "fs/system/pinned_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "fs/system/descriptor_info.h"
#include "fs/system/mount_users.h"

namespace spillfs::fs {
namespace {

constexpr unsigned kUniqueId = 0x4000;  // STATX_MNT_ID_UNIQUE, which older headers do not have

std::string link_of(const Fd& file) { return fmt::format("/proc/self/fd/{}", file.get()); }

// A look at the mount, as other verbs and the reaper take, keeps nobody's unmount from being done.
constexpr std::chrono::seconds kBriefUse{3};
constexpr std::chrono::milliseconds kBetweenTries{50};

enum class Detach : std::uint8_t { kNo, kYes };

// As an ordinary user, whose mounts alone it takes out. What it says is said by us.
Result<> run_fusermount(const std::string& mountpoint, Detach detach) {
  std::vector<std::string> words{"fusermount3", "-u", "--", mountpoint};
  if (detach == Detach::kYes) words.insert(words.begin() + 2, "-z");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t quiet;
  ::posix_spawn_file_actions_init(&quiet);
  ::posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "fusermount3", &quiet, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&quiet);
  if (error != 0) {
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
  return run_fusermount(path(), Detach::kYes);
}

// While the directory that it lies in is held, nobody can rename the mountpoint: only unmount it.
Result<> PinnedMount::unmount_unless_busy(PinnedMount mount) {
  const std::filesystem::path where = mount.path();
  const Fd folder(::open(where.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string name = where.filename().string();
  Fd there(::openat(folder.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!there || descriptor_number(there.get(), "mnt_id") != mount.entry().id) {
    return fail(EINVAL, fmt::format("no spillfs is mounted on {}", mount.path()));
  }
  there.reset();
  mount.root_.reset();
  const std::string link = fmt::format("{}/{}", link_of(folder), name);
  const auto patience = std::chrono::steady_clock::now() + kBriefUse;
  while (true) {
    auto done = try_to_unmount(link, mount);
    const bool again = !done && done.error().code == EBUSY;
    if (!again || std::chrono::steady_clock::now() >= patience) return done;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

// EBUSY where something uses it.
Result<> PinnedMount::try_to_unmount(const std::string& link, const PinnedMount& mount) {
  if (::umount2(link.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) return {};
  if (errno == EBUSY) return fail(EBUSY, mount.path() + " is busy");
  if (errno != EPERM || ::geteuid() == 0) return fail_errno(errno, "unmount " + mount.path());
  auto done = run_fusermount(mount.path(), Detach::kNo);
  const bool busy = !done && !users_of_device(mount.entry().device).empty();
  return busy ? Result<>(fail(EBUSY, mount.path() + " is busy")) : done;
}

}  // namespace spillfs::fs
