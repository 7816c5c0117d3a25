// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "fs/fuse/fuse_api.h"
#include "fs/system/mount_table.h"
#include "fs/system/pinned_mount.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

struct DestroySession {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};
using Session = std::unique_ptr<fuse_session, DestroySession>;

// libfuse splits its options at commas.
std::string escaped(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == ',' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

Result<Session> new_session(const std::string& source, AllowOther other,
                            const std::vector<std::string>& flags) {
  std::string options =
      fmt::format("fsname={},subtype=spillfs,default_permissions{}", escaped(source),
                  other == AllowOther::kYes ? ",allow_other" : "");
  for (const std::string& flag : flags) options += "," + flag;
  std::array<std::string, 3> words{"spillfs", "-o", options};
  std::array<char*, 4> argv{words[0].data(), words[1].data(), words[2].data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, argv.data());
  const fuse_lowlevel_ops nothing{};
  Session session(fuse_session_new(&args, &nothing, sizeof(nothing), nullptr));
  fuse_opt_free_args(&args);
  if (session == nullptr) return fail(EINVAL, "libfuse refused the mount options");
  return session;
}

std::string read_ahead_file(const std::string& device) {
  return fmt::format("/sys/class/bdi/{}/read_ahead_kb", device);
}

}  // namespace

Result<Fd> mount_fuse(const std::string& mountpoint, const std::string& source, AllowOther other,
                      const std::vector<std::string>& flags) {
  const Session session = SPILLFS_TRY(new_session(source, other, flags));
  if (fuse_session_mount(session.get(), mountpoint.c_str()) != 0) {
    return fail(EIO, "can't mount on " + mountpoint);
  }
  // The session closes its own copy when it goes; it does not unmount unless told to.
  Fd fuse(::fcntl(fuse_session_fd(session.get()), F_DUPFD_CLOEXEC, 3));
  if (!fuse) return fail_errno(errno, "keep the FUSE descriptor");
  return fuse;
}

Result<> set_read_ahead(const std::string& device, std::uint64_t bytes) {
  const std::string name = read_ahead_file(device);
  const Fd file(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(bytes / kKiB);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) {
    return fail_errno(errno, "write " + name);
  }
  return {};
}

Result<std::uint64_t> read_ahead_of(const std::string& mountpoint) {
  std::uint64_t kib = 0;
  std::string device;
  for (const MountEntry& entry : mount_table()) {
    if (entry.where == mountpoint) device = entry.device;
  }
  const std::string name = read_ahead_file(device);
  if (!(std::ifstream(name) >> kib)) return fail(ENOENT, "read " + name);
  return kib * kKiB;
}

bool is_mounted(const std::string& mountpoint) {
  bool found = false;
  for (const MountEntry& entry : mount_table()) {
    if (entry.where == mountpoint) found = entry.type == kSpillfsType;  // the last one is on top
  }
  return found;
}

std::vector<std::string> all_mounts() {
  std::vector<std::string> found;
  for (const MountEntry& entry : mount_table()) {
    if (entry.type == kSpillfsType) found.push_back(entry.where);
  }
  return found;
}

Result<bool> clear_dead_mount(const std::string& mountpoint) {
  const auto mount = PinnedMount::at(mountpoint);
  if (!mount || mount->is_strangers() || !mount->is_dead()) return false;
  SPILLFS_TRY(mount->unmount());
  return true;
}

std::string libfuse_version() { return fuse_pkgversion(); }

}  // namespace spillfs::fs
