// SPDX-License-Identifier: Apache-2.0
#include "storage/external/directory_object_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "storage/base/fd.h"
#include "storage/external/beneath_directory.h"

namespace spillfs::storage::external {
namespace {

constexpr mode_t kFileMode = 0666;
constexpr int kMostRounds = 1000;  // against a writer that makes files as fast as they are removed

// Says what O_TMPFILE says where it isn't supported: by the file system, or by the kernel's FUSE.
bool means_unsupported(int code) {
  return code == EOPNOTSUPP || code == EISDIR || code == EINVAL || code == ENOSYS;
}

// Where a new object goes: its name in a folder that is held.
struct NewName {
  Fd folder;
  std::string name;
  std::string path;  // for messages
};

class DirectoryWriter final : public ObjectWriter {
 public:
  enum class Name : std::uint8_t { kLater, kThere };

  DirectoryWriter(NewName at, Fd fd, Name name, std::uint64_t buffer_size)
      : at_(std::move(at)), fd_(std::move(fd)), name_(name), buffer_size_(buffer_size) {}
  ~DirectoryWriter() override {
    if (!finished_ && name_ == Name::kThere) ::unlinkat(at_.folder.get(), at_.name.c_str(), 0);
  }
  DirectoryWriter(const DirectoryWriter&) = delete;
  DirectoryWriter& operator=(const DirectoryWriter&) = delete;

  Result<> write(Bytes from) override {
    if (pending_.size() + from.size() >= buffer_size_) return write_out(from);
    pending_.insert(pending_.end(), from.begin(), from.end());
    return {};
  }

  Result<> finish() override {
    SPILLFS_TRY(write_out({}));
    if (name_ == Name::kLater) {
      const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
      if (::linkat(AT_FDCWD, self.c_str(), at_.folder.get(), at_.name.c_str(), AT_SYMLINK_FOLLOW) !=
          0) {
        return error("name");
      }
      name_ = Name::kThere;
    }
    // A FUSE file system tells here that it could not keep the bytes.
    if (::close(fd_.release()) != 0) return error("close");
    finished_ = true;
    return {};
  }

 private:
  // Writes what is pending and `from`.
  Result<> write_out(Bytes from) {
    Bytes head = pending_;
    while (!head.empty() || !from.empty()) {
      const std::array<iovec, 2> parts{
          iovec{.iov_base = const_cast<std::byte*>(head.data()), .iov_len = head.size()},
          iovec{.iov_base = const_cast<std::byte*>(from.data()), .iov_len = from.size()}};
      const ssize_t put = ::writev(fd_.get(), parts.data(), static_cast<int>(parts.size()));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return error("write");
      const std::size_t of_head = std::min(head.size(), static_cast<std::size_t>(put));
      head = head.subspan(of_head);
      from = from.subspan(static_cast<std::size_t>(put) - of_head);
    }
    pending_.clear();
    return {};
  }

  Failure error(const char* doing, Where where = Where::here()) const {
    return fail_errno(errno, std::string(doing) + " " + at_.path, where);
  }

  const NewName at_;
  Fd fd_;
  Name name_;
  bool finished_ = false;
  const std::uint64_t buffer_size_;
  std::vector<std::byte> pending_;
};

// Opens a new file: without a name where that is wanted and possible.
Result<std::unique_ptr<ObjectWriter>> open_writer(NewName at, const DirectoryOptions& options) {
  using Name = DirectoryWriter::Name;
  struct stat found {};
  if (::fstatat(at.folder.get(), at.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) {
    return fail_errno(EEXIST, "create " + at.path);
  }
  if (options.unnamed) {
    Fd fd(::openat(at.folder.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, kFileMode));
    if (fd) {
      return std::make_unique<DirectoryWriter>(std::move(at), std::move(fd), Name::kLater,
                                               options.buffer_size);
    }
    if (!means_unsupported(errno)) return fail_errno(errno, "create " + at.path);
  }
  Fd fd(::openat(at.folder.get(), at.name.c_str(),
                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!fd) return fail_errno(errno, "create " + at.path);
  return std::make_unique<DirectoryWriter>(std::move(at), std::move(fd), Name::kThere,
                                           options.buffer_size);
}

// Whether somebody else removed or added files while we removed them.
bool is_race(const Error& error) {
  return error.code == ENOENT || error.code == ENOTEMPTY || error.code == EEXIST;
}

struct Sweep {
  std::size_t found = 0;
  std::optional<Error> problem;  // the first one that another round does not mend
};

// Removes what is in `folder` and starts with `stem`, with all below it.
Sweep sweep(const Fd& folder, const std::string& stem, const std::string& path) {
  Sweep result;
  const auto names = list_folder(folder.get(), path);
  if (!names) {
    if (!is_race(names.error())) result.problem = names.error();
    return result;
  }
  for (const std::string& name : *names) {
    if (!name.starts_with(stem)) continue;
    ++result.found;
    auto removed = remove_tree(folder.get(), name, path + name);
    if (!removed && !is_race(removed.error()) && !result.problem) {
      result.problem = std::move(removed).error();
    }
  }
  return result;
}

// Whether the folder `name` is gone, or can't go for a reason that is none of its files.
Result<bool> remove_folder(const BeneathDirectory& root, const std::string& name) {
  const auto [above, last] = split_name(name);
  const auto parent = root.open_folder(above);
  if (!parent && parent.error().code == ENOENT) return true;
  if (!parent) return Failure(parent.error());
  if (::unlinkat(parent->get(), last.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno == ENOTEMPTY || errno == EEXIST) return false;
  if (errno == EBUSY) return true;  // a mount stays: somebody else put it there
  return fail_errno(errno, "remove " + root.path_of(name));
}

// Only files: a pipe or a device that others put there would hold up who reads it.
Result<> check_file(const Fd& fd, const std::string& path) {
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return fail_errno(errno, "look at " + path);
  if (S_ISREG(found.st_mode)) return {};
  return fail_errno(S_ISDIR(found.st_mode) ? EISDIR : EINVAL,
                    "read " + path + ", which is no file");
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> DirectoryObjectStore::open_directory(
    const std::string& path, DirectoryOptions options) {
  static_cast<void>(SPILLFS_TRY(BeneathDirectory::open(path)));
  return std::unique_ptr<ObjectStore>(new DirectoryObjectStore(path, options));
}

Result<> DirectoryObjectStore::check_key(const std::string& key) {
  if (!key.empty() && !key.ends_with('/') && stays_beneath(key)) return {};
  return fail(EINVAL, fmt::format("'{}' can't be an object's key", key));
}

bool DirectoryObjectStore::is_at(const std::string& root) const {
  struct stat ours {};
  struct stat theirs {};
  return ::stat(root_.c_str(), &ours) == 0 && ::stat(root.c_str(), &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

Result<std::unique_ptr<ObjectWriter>> DirectoryObjectStore::create(const std::string& key) {
  SPILLFS_TRY(check_key(key));
  const BeneathDirectory root = SPILLFS_TRY(BeneathDirectory::open(root_, options_.resolver));
  const auto [folder, name] = split_name(key);
  // remove_all() may take a folder away before there is a file in it.
  for (int round = 0;; ++round) {
    auto held = root.open_folder(folder);
    const bool missing = !held && held.error().code == ENOENT;
    if (missing) held = root.make_folder(folder);
    if (!held && !(is_race(held.error()) && round < kMostRounds)) return Failure(held.error());
    if (!held) continue;
    auto writer = open_writer({.folder = *std::move(held), .name = name, .path = root.path_of(key)},
                              options_);
    if (writer || writer.error().code != ENOENT || round == kMostRounds) return writer;
  }
}

Result<std::size_t> DirectoryObjectStore::read(const std::string& key, MutableBytes into,
                                               std::uint64_t offset) {
  SPILLFS_TRY(check_key(key));
  const BeneathDirectory root = SPILLFS_TRY(BeneathDirectory::open(root_, options_.resolver));
  const std::string path = root.path_of(key);
  const Fd fd = SPILLFS_TRY(root.open_file(key, O_RDONLY | O_NONBLOCK));
  SPILLFS_TRY(check_file(fd, path));
  std::size_t done = 0;
  while (done < into.size()) {
    std::uint64_t at = 0;
    if (__builtin_add_overflow(offset, done, &at) || at > std::numeric_limits<off_t>::max()) break;
    const MutableBytes rest = into.subspan(done);
    const ssize_t got = ::pread(fd.get(), rest.data(), rest.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read " + path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<> DirectoryObjectStore::remove(std::span<const std::string> keys) {
  std::optional<Failure> first;
  const auto root = SPILLFS_TRY(if_any(BeneathDirectory::open(root_, options_.resolver)));
  if (!root) return {};
  for (const std::string& key : keys) {
    auto removed = remove_file(*root, key);
    if (!removed && !first) first = Failure(std::move(removed).error());
  }
  if (first) return *std::move(first);
  return {};
}

Result<> DirectoryObjectStore::remove_file(const BeneathDirectory& root, const std::string& key) {
  SPILLFS_TRY(check_key(key));
  const auto [within, name] = split_name(key);
  const auto folder = root.open_folder(within);
  if (!folder && (folder.error().code == ENOENT || folder.error().code == ENOTDIR)) return {};
  if (!folder) return Failure(folder.error());
  if (::unlinkat(folder->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "remove " + root.path_of(key));
}

Result<> DirectoryObjectStore::remove_all(const std::string& prefix) {
  const auto held = SPILLFS_TRY(if_any(BeneathDirectory::open(root_, options_.resolver)));
  if (!held) return {};
  const BeneathDirectory& root = *held;
  const auto [within, stem] = split_name(prefix);
  for (int round = 0; round < kMostRounds; ++round) {
    const auto folder = root.open_folder(within);
    if (!folder && folder.error().code == ENOENT) return {};
    if (!folder) return Failure(folder.error());
    Sweep result = sweep(*folder, stem, root.path_of(within));
    if (result.problem) return Failure(*std::move(result.problem));
    const bool folder_too = stem.empty() && !within.empty();
    const bool done = folder_too
                          ? SPILLFS_TRY(remove_folder(root, within.substr(0, within.size() - 1)))
                          : result.found == 0;
    if (done) return {};
  }
  return fail_errno(EBUSY,
                    fmt::format("remove {}, others go on writing there", root.path_of(prefix)));
}

}  // namespace spillfs::storage::external
