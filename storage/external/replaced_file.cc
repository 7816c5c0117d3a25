// SPDX-License-Identifier: Apache-2.0
#include "storage/external/replaced_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <random>

namespace spillfs::storage::external {
namespace {

constexpr mode_t kFileMode = 0666;
constexpr int kTries = 100;

std::string temporary_name(const std::string& name) {
  std::random_device random;
  return fmt::format(".{}.{:08x}{:08x}", name, random(), random());
}

}  // namespace

ReplacedFile::ReplacedFile(Fd folder, std::string name, std::string path)
    : folder_(std::move(folder)), name_(std::move(name)), path_(std::move(path)) {}

ReplacedFile::~ReplacedFile() {
  if (folder_ && fd_) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
}

Result<ReplacedFile> ReplacedFile::create(const BeneathDirectory& directory,
                                          const std::string& name) {
  const auto [within, last] = split_name(name);
  ReplacedFile file(SPILLFS_TRY(directory.open_folder(within)), last, directory.path_of(name));
  for (int tried = 0;; ++tried) {
    file.temporary_ = temporary_name(last);
    file.fd_ = Fd(::openat(file.folder_.get(), file.temporary_.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
    if (file.fd_) return file;
    if (errno != EEXIST || tried == kTries) return fail_errno(errno, "create " + file.path_);
  }
}

Result<> ReplacedFile::write(Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write " + path_);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<> ReplacedFile::finish() {
  // A FUSE file system tells here that it could not keep the bytes.
  const bool kept = ::close(fd_.release()) == 0;
  const int code = errno;
  if (kept && ::renameat(folder_.get(), temporary_.c_str(), folder_.get(), name_.c_str()) == 0) {
    return {};
  }
  const int why = kept ? errno : code;
  ::unlinkat(folder_.get(), temporary_.c_str(), 0);
  return fail_errno(why, (kept ? "name " : "close ") + path_);
}

}  // namespace spillfs::storage::external
