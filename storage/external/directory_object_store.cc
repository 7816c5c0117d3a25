// SPDX-License-Identifier: Apache-2.0
#include "storage/external/directory_object_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

#include "storage/base/fd.h"

namespace spillfs::storage::external {
namespace {

constexpr mode_t kFileMode = 0666;
constexpr int kMostRounds = 1000;  // against a writer that makes files as fast as they are removed

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Says what O_TMPFILE says where it isn't supported: by the file system, or by the kernel's FUSE.
bool means_unsupported(int code) {
  return code == EOPNOTSUPP || code == EISDIR || code == EINVAL || code == ENOSYS;
}

class DirectoryWriter final : public ObjectWriter {
 public:
  enum class Name : std::uint8_t { kLater, kThere };

  DirectoryWriter(std::string path, Fd fd, Name name, std::uint64_t buffer_size)
      : path_(std::move(path)), fd_(std::move(fd)), name_(name), buffer_size_(buffer_size) {}
  ~DirectoryWriter() override {
    if (!finished_ && name_ == Name::kThere) ::unlink(path_.c_str());
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
      if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
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
    return fail_errno(errno, std::string(doing) + " " + path_, where);
  }

  const std::string path_;
  Fd fd_;
  Name name_;
  bool finished_ = false;
  const std::uint64_t buffer_size_;
  std::vector<std::byte> pending_;
};

// Opens a new file for `path`: without a name where that is wanted and possible.
Result<std::unique_ptr<ObjectWriter>> open_writer(const std::string& path,
                                                  const DirectoryOptions& options) {
  using Name = DirectoryWriter::Name;
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0) return fail_errno(EEXIST, "create " + path);
  if (options.unnamed) {
    const std::string folder = folder_of(path);
    Fd fd(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kFileMode));
    if (fd) {
      return std::make_unique<DirectoryWriter>(path, std::move(fd), Name::kLater,
                                               options.buffer_size);
    }
    if (!means_unsupported(errno)) return fail_errno(errno, "create a file in " + folder);
  }
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!fd) return fail_errno(errno, "create " + path);
  return std::make_unique<DirectoryWriter>(path, std::move(fd), Name::kThere, options.buffer_size);
}

// Whether somebody else removed or added files while we removed them.
bool is_race(const std::error_code& error) {
  return error == std::errc::no_such_file_or_directory || error == std::errc::directory_not_empty ||
         error == std::errc::file_exists;
}

struct Sweep {
  std::size_t found = 0;
  std::error_code problem;  // the first one that another round does not mend
};

// Removes what is in `folder` and starts with `stem`, with all below it.
Sweep sweep(const std::string& folder, const std::string& stem) {
  Sweep result;
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().native().starts_with(stem)) paths.push_back(entry->path());
  }
  if (error && !is_race(error)) result.problem = error;
  for (const auto& path : paths) {
    std::filesystem::remove_all(path, error);
    if (error && !is_race(error) && !result.problem) result.problem = error;
  }
  result.found = paths.size();
  return result;
}

// Whether `folder` is gone, or can't go for a reason that is none of its files.
bool remove_folder(const std::string& folder, std::error_code& problem) {
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return true;
  if (errno == ENOTEMPTY || errno == EEXIST) return false;
  // A symbolic link or a mount stays: somebody else put it there.
  if (errno != ENOTDIR && errno != EBUSY) problem.assign(errno, std::generic_category());
  return true;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> DirectoryObjectStore::open_directory(
    const std::string& path, DirectoryOptions options) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return fail_errno(errno, "open directory " + path);
  if (!S_ISDIR(found.st_mode)) return fail_errno(ENOTDIR, "open directory " + path);
  return std::unique_ptr<ObjectStore>(
      new DirectoryObjectStore(path.ends_with('/') ? path : path + "/", options));
}

Result<std::string> DirectoryObjectStore::path_of(const std::string& key) const {
  if (key.empty() || key.front() == '/' || key.find('\0') != std::string::npos) {
    return fail(EINVAL, fmt::format("'{}' can't be an object's key", key));
  }
  return root_ + key;
}

Result<std::unique_ptr<ObjectWriter>> DirectoryObjectStore::create(const std::string& key) {
  const std::string path = SPILLFS_TRY(path_of(key));
  // remove_all() may take a folder away before there is a file in it.
  for (int round = 0;; ++round) {
    auto writer = open_writer(path, options_);
    if (writer || writer.error().code != ENOENT || round == kMostRounds) return writer;
    std::error_code error;
    std::filesystem::create_directories(folder_of(path), error);
    if (error && !is_race(error)) return fail_errno(error.value(), "make " + folder_of(path));
  }
}

Result<std::size_t> DirectoryObjectStore::read(const std::string& key, MutableBytes into,
                                               std::uint64_t offset) {
  const std::string path = SPILLFS_TRY(path_of(key));
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open " + path);
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
  for (const std::string& key : keys) {
    const auto path = path_of(key);
    if (!path && !first) first = Failure(path.error());
    if (!path || ::unlink(path->c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) continue;
    if (!first) first = fail_errno(errno, "remove " + *path);
  }
  if (first) return *std::move(first);
  return {};
}

Result<> DirectoryObjectStore::remove_all(const std::string& prefix) {
  const std::string within = folder_of(prefix);
  const std::string folder = root_ + within;
  const std::string stem = prefix.substr(within.size());
  for (int round = 0; round < kMostRounds; ++round) {
    Sweep result = sweep(folder, stem);
    const bool folder_too = stem.empty() && !within.empty();
    const bool done = folder_too
                          ? remove_folder(folder.substr(0, folder.size() - 1), result.problem)
                          : result.found == 0;
    if (result.problem) return fail_errno(result.problem.value(), "remove " + root_ + prefix);
    if (done) return {};
  }
  return fail_errno(EBUSY, fmt::format("remove {}{}, others go on writing there", root_, prefix));
}

}  // namespace spillfs::storage::external
