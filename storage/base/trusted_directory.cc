// SPDX-License-Identifier: Apache-2.0
#include "storage/base/trusted_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>

namespace spillfs {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::string by_descriptor(int file) { return fmt::format("/proc/self/fd/{}", file); }

Result<> write_all(const Fd& file, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t put = ::write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return fail_errno(put < 0 ? errno : ENOSPC, "write " + path);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

// An open for reading or writing alone waits for the other end of a FIFO, unless it is told not to.
// One for both never waits, and told not to it would fail while somebody has a lease on the file.
int without_waiting(int flags) {
  const bool both = (flags & O_ACCMODE) == O_RDWR;
  return flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | (both ? 0 : O_NONBLOCK);
}

}  // namespace

TrustedDirectory::TrustedDirectory(TrustedPlace place, const Trust& trust)
    : file_(std::move(place.file)),
      path_(std::move(place.path)),
      owner_(place.status.st_uid),
      trust_(trust) {}

Result<TrustedDirectory> TrustedDirectory::open(const std::string& path, const Trust& trust,
                                                Missing missing) {
  TrustedPlace place = SPILLFS_TRY(walk_to(path, trust, missing));
  if (!S_ISDIR(place.status.st_mode)) return fail(ENOTDIR, path + " is not a directory");
  SPILLFS_TRY(trust.check_owner(place.status, place.path));
  return TrustedDirectory(std::move(place), trust);
}

Result<TrustedDirectory> TrustedDirectory::open_shared(const std::string& path,
                                                       const Trust& trust) {
  TrustedPlace place = SPILLFS_TRY(walk_to(path, trust));
  if (!S_ISDIR(place.status.st_mode)) return fail(ENOTDIR, path + " is not a directory");
  SPILLFS_TRY(trust.check_way(place.status, place.file.get(), place.path));
  return TrustedDirectory(std::move(place), trust);
}

Result<TrustedDirectory> TrustedDirectory::again() const {
  TrustedPlace place;
  place.path = path_;
  place.status.st_uid = owner_;
  place.file = Fd(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
  if (!place.file) return fail_errno(errno, "open " + path_);
  return TrustedDirectory(std::move(place), trust_);
}

Result<TrustedDirectory> TrustedDirectory::folder(const std::string& name) const {
  TrustedPlace place;
  place.path = path_to(name);
  place.file =
      Fd(::openat(file_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!place.file && errno == ENOTDIR) {
    return fail(ENOTDIR, place.path + " has to be a directory, and no link to one");
  }
  if (!place.file) return fail_errno(errno, "open " + place.path);
  if (::fstat(place.file.get(), &place.status) != 0) return fail_errno(errno, "open " + place.path);
  SPILLFS_TRY(trust_.check_owner(place.status, place.path));
  return TrustedDirectory(std::move(place), trust_);
}

Result<TrustedDirectory> TrustedDirectory::make_folder(const std::string& name) const {
  if (::mkdirat(file_.get(), name.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return fail_errno(errno, "make " + path_to(name));
  }
  return folder(name);
}

Failure TrustedDirectory::refused(int code, const std::string& name) const {
  const std::string path = path_to(name);
  if (code == ELOOP)
    return fail(ELOOP, path + " is a symbolic link, which is not followed; remove it");
  if (code == ENXIO) return fail(kNotTrusted, path + " is not a regular file; remove it");
  return fail_errno(code, "open " + path);
}

Result<Fd> TrustedDirectory::open_file(const std::string& name, int flags) const {
  // What is not ours yet must not be emptied, nor made anew where it is.
  const int opening = without_waiting(flags & ~O_TRUNC);
  Fd file(::openat(file_.get(), name.c_str(), opening, kFileMode));
  if (!file) return refused(errno, name);
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return fail_errno(errno, "look at " + path_to(name));
  SPILLFS_TRY(trust_.check_file(found, OtherNames::kRefuse, path_to(name)));
  const int wanted = opening & ~O_NONBLOCK;
  if (opening != wanted && ::fcntl(file.get(), F_SETFL, wanted) != 0) {
    return fail_errno(errno, "open " + path_to(name));
  }
  if ((flags & O_TRUNC) != 0 && ::ftruncate(file.get(), 0) != 0) {
    return fail_errno(errno, "empty " + path_to(name));
  }
  return file;
}

Result<std::string> TrustedDirectory::read_file(const std::string& name, std::size_t most) const {
  const Fd file = SPILLFS_TRY(open_file(name, O_RDONLY));
  return read_all(file, most, path_to(name));
}

Result<> TrustedDirectory::replace_file(const std::string& name, std::string_view text, mode_t mode,
                                        Durable durable) const {
  const std::string beside = name + ".new";
  if (auto gone = remove(beside); !gone && gone.error().code != ENOENT) return gone;
  const Fd file = SPILLFS_TRY(open_file(beside, O_WRONLY | O_CREAT | O_EXCL));
  SPILLFS_TRY(write_all(file, text, path_to(beside)));
  if (::fchmod(file.get(), mode) != 0) return fail_errno(errno, "chmod " + path_to(beside));
  if (durable == Durable::kYes && ::fsync(file.get()) != 0) {
    return fail_errno(errno, "sync " + path_to(beside));
  }
  SPILLFS_TRY(rename(beside, name));
  return durable == Durable::kYes ? sync() : Result<>();
}

Result<bool> TrustedDirectory::has(const std::string& name) const {
  struct stat found {};
  if (::fstatat(file_.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno(errno, "look at " + path_to(name));
}

Result<> TrustedDirectory::remove(const std::string& name) const {
  if (::unlinkat(file_.get(), name.c_str(), 0) == 0) return {};
  return fail_errno(errno, "remove " + path_to(name));
}

Result<> TrustedDirectory::rename(const std::string& from, const std::string& to) const {
  if (::renameat(file_.get(), from.c_str(), file_.get(), to.c_str()) == 0) return {};
  return fail_errno(errno, fmt::format("rename {} to {}", path_to(from), path_to(to)));
}

Result<Fd> TrustedDirectory::readable() const {
  Fd file(::openat(file_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open " + path_);
  return file;
}

Result<std::vector<std::string>> TrustedDirectory::list() const {
  Fd file = SPILLFS_TRY(readable());
  const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(file.get()));
  if (directory == nullptr) return fail_errno(errno, "list " + path_);
  static_cast<void>(file.release());  // it is the DIR's now
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) return fail_errno(errno, "list " + path_);
    if (entry == nullptr) return names;
    const std::string_view name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

Result<> TrustedDirectory::check_contents() const {
  for (const std::string& name : SPILLFS_TRY(list())) {
    struct stat found {};
    if (::fstatat(file_.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // a process that has it in use removed it
      return fail_errno(errno, "look at " + path_to(name));
    }
    if (S_ISLNK(found.st_mode)) return refused(ELOOP, name);
    SPILLFS_TRY(S_ISDIR(found.st_mode)
                    ? trust_.check_owner(found, path_to(name))
                    : trust_.check_file(found, OtherNames::kRefuse, path_to(name)));
  }
  return {};
}

Result<> TrustedDirectory::sync() const {
  const Fd file = SPILLFS_TRY(readable());
  if (::fsync(file.get()) != 0) return fail_errno(errno, "sync " + path_);
  return {};
}

Result<> TrustedDirectory::sync_file_system() const {
  const Fd file = SPILLFS_TRY(readable());
  if (::syncfs(file.get()) != 0) return fail_errno(errno, "sync " + path_);
  return {};
}

// A copy of the mount for this descriptor alone, which is in no one's tree of mounts.
Result<> TrustedDirectory::refuse_symbolic_links() {
  constexpr unsigned kAlone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  Fd mount(static_cast<int>(::syscall(SYS_open_tree, file_.get(), "", kAlone)));
  struct mount_attr wanted {};
  wanted.attr_set = MOUNT_ATTR_NOSYMFOLLOW;
  if (!mount ||
      ::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &wanted, sizeof(wanted)) != 0) {
    return fail_errno(errno, fmt::format("keep links in {} from being followed; 'chown -R root {}' "
                                         "makes that needless",
                                         path_, path_));
  }
  file_ = std::move(mount);
  return {};
}

std::string TrustedDirectory::path_by_descriptor() const { return by_descriptor(file_.get()); }

Result<Fd> open_trusted_file(const std::string& path, const Trust& trust) {
  auto walked = walk_to(path, trust);
  if (!walked && walked.error().code != kNotTrusted) {
    return fail_errno(walked.error().code, "open " + path);
  }
  const TrustedPlace place = SPILLFS_TRY(std::move(walked));
  if (S_ISDIR(place.status.st_mode))
    return fail(EISDIR, place.path + " is a directory; give a file");
  SPILLFS_TRY(S_ISFIFO(place.status.st_mode)
                  ? trust.check_owner(place.status, place.path)
                  : trust.check_file(place.status, OtherNames::kAdmit, place.path));
  Fd file(::open(by_descriptor(place.file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open " + place.path);
  return file;
}

Result<std::string> read_all(const Fd& file, std::size_t most, const std::string& path) {
  std::string text;
  std::array<char, 65536> part{};
  for (;;) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read " + path);
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
    if (text.size() > most) return fail(EFBIG, path + " is too large");
  }
}

}  // namespace spillfs
