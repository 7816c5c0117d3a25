// SPDX-License-Identifier: Apache-2.0
#include "fs/mount_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "fs/fuse_mount.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

class MountTree : public ReapTree {
 public:
  explicit MountTree(Fd root) : root_(std::move(root)) {}

  Result<std::vector<ReapEntry>> list(const std::string& directory) override {
    Fd fd = SPILLFS_TRY(open(directory, O_RDONLY | O_DIRECTORY));
    const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(fd.get()));
    if (stream == nullptr) return fail_errno(errno, "list " + directory);
    static_cast<void>(fd.release());  // the stream's now
    std::vector<ReapEntry> entries;
    for (;;) {
      errno = 0;
      const dirent* next = ::readdir(stream.get());
      if (next == nullptr && errno != 0) return fail_errno(errno, "list " + directory);
      if (next == nullptr) return entries;
      const std::string_view name = next->d_name;
      if (name == "." || name == "..") continue;
      ReapEntry entry{.path = directory.empty() ? std::string(name)
                                                : fmt::format("{}/{}", directory, name)};
      if (::fstatat(::dirfd(stream.get()), next->d_name, &entry.attributes, AT_SYMLINK_NOFOLLOW) ==
          0) {
        entries.push_back(std::move(entry));
      } else if (errno != ENOENT) {
        return fail_errno(errno, entry.path);
      }
    }
  }

  Result<struct stat> look(const std::string& path) override {
    const Fd fd = SPILLFS_TRY(open(path, O_PATH | O_NOFOLLOW));
    struct stat found {};
    if (::fstat(fd.get(), &found) != 0) return fail_errno(errno, path);
    return found;
  }

  Result<std::string> xattr(const std::string& path, const char* name) override {
    // Not opened, which would count as an open of the file.
    const Fd fd = SPILLFS_TRY(open(path, O_PATH | O_NOFOLLOW));
    std::array<char, 4096> value{};
    const std::string link = fmt::format("/proc/self/fd/{}", fd.get());
    const ssize_t size = ::getxattr(link.c_str(), name, value.data(), value.size());
    if (size < 0) return fail_errno(errno, fmt::format("{} of {}", name, path));
    return std::string(value.data(), static_cast<std::size_t>(size));
  }

  Result<> remove_file(const std::string& path) override { return remove(path, 0); }
  Result<> remove_directory(const std::string& path) override { return remove(path, AT_REMOVEDIR); }

 private:
  [[nodiscard]] Result<Fd> open(const std::string& path, std::uint64_t flags) const {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    const char* from_root = path.empty() ? "." : path.c_str();
    Fd fd(static_cast<int>(::syscall(SYS_openat2, root_.get(), from_root, &how, sizeof(how))));
    // A symlink or another file system now: what was looked for is gone.
    if (!fd && (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)) errno = ENOENT;
    if (!fd) return fail_errno(errno, path);
    return fd;
  }

  [[nodiscard]] Result<> remove(const std::string& path, int flags) const {
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
    const Fd fd = SPILLFS_TRY(open(parent, O_PATH | O_DIRECTORY));
    if (::unlinkat(fd.get(), path.c_str() + (slash == std::string::npos ? 0 : slash + 1), flags) !=
        0) {
      return fail_errno(errno, "remove " + path);
    }
    return {};
  }

  const Fd root_;
};

}  // namespace

Result<std::unique_ptr<ReapTree>> open_mount_tree(const std::string& mountpoint) {
  const auto none = [&] {
    return fail(EINVAL, fmt::format("no live spillfs is mounted on {}", mountpoint));
  };
  Fd root(::open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat control {};
  if (!root || ::fstatat(root.get(), ".spillfs/status", &control, AT_SYMLINK_NOFOLLOW) != 0) {
    return none();
  }
  return std::make_unique<MountTree>(std::move(root));
}

}  // namespace spillfs::fs
