// SPDX-License-Identifier: Apache-2.0
#include "storage/external/beneath_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace spillfs::storage::external {
namespace {

constexpr int kFolder = O_PATH | O_DIRECTORY;
constexpr int kMostLevels = 100;  // of directories that are removed: each holds a descriptor
constexpr mode_t kFolderMode = 0777;

Failure not_beneath(const std::string& path) {
  return fail(EINVAL, fmt::format("{} leads out of its directory", path));
}

Failure is_a_link(const std::string& path) {
  return fail(ELOOP, fmt::format("{} is or passes a symbolic link, which is not followed; give the "
                                 "directory that it leads to",
                                 path));
}

// openat2(2) of a name without "..", which asks for less than it could.
int open_by_kernel(int directory, const std::string& name, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = 0;
  do {
    fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof(how));
  } while (fd < 0 && errno == EINTR);
  return static_cast<int>(fd);
}

// Opens the one part `name`, and leaves ELOOP in errno where it is a link.
int open_part(int directory, const std::string& name, int flags) {
  const int fd = ::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) return fd;
  const int code = errno;
  struct stat found {};
  const bool link = ::fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISLNK(found.st_mode);
  errno = link ? ELOOP : code;
  return fd;
}

std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> parts;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(part.size() + 1, name.size()));
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  return parts;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<> remove_below(int folder, const std::string& name, const std::string& path, int level) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno(errno, "remove " + path);
  if (level == kMostLevels) {
    return fail(EMLINK, fmt::format("remove {}: there are more than {} directories within each "
                                    "other; remove them by hand",
                                    path, kMostLevels));
  }
  const Fd inside(open_part(folder, name, kFolder));
  if (!inside && errno == ENOENT) return {};
  // The directory became something else meanwhile: the caller looks again.
  if (!inside && (errno == ELOOP || errno == ENOTDIR)) errno = ENOTEMPTY;
  if (!inside) return fail_errno(errno, "remove " + path);
  for (const std::string& one : SPILLFS_TRY(list_folder(inside.get(), path))) {
    SPILLFS_TRY(remove_below(inside.get(), one, fmt::format("{}/{}", path, one), level + 1));
  }
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "remove " + path);
}

}  // namespace

FolderAndName split_name(const std::string& name) {
  const std::size_t at = name.rfind('/') + 1;
  return {.folder = name.substr(0, at), .name = name.substr(at)};
}

bool stays_beneath(std::string_view name) {
  if (name.starts_with('/') || name.find('\0') != std::string_view::npos) return false;
  const auto parts = parts_of(name);
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

Result<std::vector<std::string>> list_folder(int folder, const std::string& path) {
  Fd listed(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listed) return fail_errno(errno, "list " + path);
  const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(listed.get()));
  if (directory == nullptr) return fail_errno(errno, "list " + path);
  static_cast<void>(listed.release());
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) return fail_errno(errno, "list " + path);
    if (entry == nullptr) return names;
    const std::string name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") names.push_back(name);
  }
}

Result<> remove_tree(int folder, const std::string& name, const std::string& path) {
  return remove_below(folder, name, path, 0);
}

Result<BeneathDirectory> BeneathDirectory::open(const std::string& path, Resolver resolver) {
  Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open directory " + path);
  std::string plain = path;
  while (plain.ends_with('/')) plain.pop_back();
  return BeneathDirectory(std::move(plain), std::move(fd), resolver);
}

Result<Fd> BeneathDirectory::walk(std::string_view name, int flags) const {
  const std::vector<std::string> parts = parts_of(name);
  if (parts.empty()) {
    Fd itself(::openat(fd_.get(), ".", flags | O_CLOEXEC));
    if (!itself) return fail_errno(errno, "open " + path_of(name));
    return itself;
  }
  Fd at;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const int from = i == 0 ? fd_.get() : at.get();
    const bool last = i + 1 == parts.size();
    Fd next(open_part(from, parts[i], last ? flags : O_PATH | O_DIRECTORY));
    if (!next && errno == ELOOP) return is_a_link(path_of(name));
    if (!next) return fail_errno(errno, "open " + path_of(name));
    at = std::move(next);
  }
  return at;
}

Result<Fd> BeneathDirectory::resolve(const std::string& name, int flags) const {
  if (!stays_beneath(name)) return not_beneath(path_of(name));
  if (resolver_ == Resolver::kSteps || name.empty()) return walk(name, flags);
  Fd fd(open_by_kernel(fd_.get(), name, flags));
  if (fd) return fd;
  // EPERM: a sandbox that does not know the call says so; the other way tells what is true.
  if (errno == ENOSYS || errno == EPERM) return walk(name, flags);
  if (errno == ELOOP) return is_a_link(path_of(name));
  return fail_errno(errno, "open " + path_of(name));
}

Result<Fd> BeneathDirectory::open_file(const std::string& name, int flags) const {
  return resolve(name, flags | O_NOFOLLOW);
}

Result<Fd> BeneathDirectory::open_folder(const std::string& name) const {
  return resolve(name, kFolder);
}

Result<Fd> BeneathDirectory::make_folder(const std::string& name) const {
  if (!stays_beneath(name)) return not_beneath(path_of(name));
  Fd at = SPILLFS_TRY(walk("", kFolder));
  for (const std::string& part : parts_of(name)) {
    if (::mkdirat(at.get(), part.c_str(), kFolderMode) != 0 && errno != EEXIST) {
      return fail_errno(errno, "make " + path_of(name));
    }
    Fd next(open_part(at.get(), part, kFolder));
    if (!next && errno == ELOOP) return is_a_link(path_of(name));
    if (!next) return fail_errno(errno, "make " + path_of(name));
    at = std::move(next);
  }
  return at;
}

}  // namespace spillfs::storage::external
