// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/mountpoint.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "fs/fuse/fuse_mount.h"

namespace spillfs::fs {
namespace files = std::filesystem;

Result<std::string> absolute_mountpoint(const std::string& path) {
  files::path plain = files::absolute(path).lexically_normal();
  if (plain.filename().empty()) plain = plain.parent_path();
  std::error_code error;
  const files::path parent = files::canonical(plain.parent_path(), error);
  if (error) return fail_errno(error.value(), "mountpoint " + path);
  return (parent / plain.filename()).string();
}

Result<std::string> check_mountpoint(const std::string& mountpoint,
                                     const std::vector<std::string>& directories) {
  if (mountpoint.empty()) return fail(ENOENT, "the mountpoint has no name; give a directory");
  std::string path = SPILLFS_TRY(absolute_mountpoint(mountpoint));
  if (SPILLFS_TRY(clear_dead_mount(path))) {
    spdlog::warn("cleared away the dead mount on {}", path);
  }
  if (is_mounted(path)) {
    return fail(EBUSY,
                fmt::format("{} is already mounted; 'spillfs umount {}' ends that", path, path));
  }
  std::error_code error;
  const files::file_status found = files::status(path, error);
  if (found.type() == files::file_type::not_found) {
    return fail(ENOENT,
                fmt::format("mountpoint {0} does not exist; 'mkdir -p {0}' makes it", path));
  }
  if (error) return fail_errno(error.value(), "mountpoint " + path);
  if (!files::is_directory(found)) {
    return fail(ENOTDIR, fmt::format("mountpoint {} is not a directory; give one", path));
  }
  if (!files::is_empty(path, error) || error) {
    return fail(ENOTEMPTY,
                fmt::format("mountpoint {} is not empty; the mount would hide its files", path));
  }
  for (const std::string& directory : directories) {
    const std::string real = files::weakly_canonical(directory).string();
    if (real == path || real.starts_with(path + "/")) {
      return fail(EINVAL, fmt::format("{} can't lie in the mountpoint of its store", real));
    }
  }
  return path;
}

}  // namespace spillfs::fs
