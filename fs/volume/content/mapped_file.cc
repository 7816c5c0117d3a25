// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

namespace spillfs::fs {
namespace {

Result<Fd> unnamed_file() {
  std::error_code error;
  std::string path = std::filesystem::temp_directory_path(error) / "spillfs-XXXXXX";
  if (error) return fail_errno(error.value(), "find the directory for temporary files");
  Fd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return fail_errno(errno, "make " + path);
  ::unlink(path.c_str());
  return fd;
}

Result<> write_all(const Fd& fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno(errno, "write to a temporary file");
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<Fd> copied(const Fd& from, const std::string& name) {
  Fd to = SPILLFS_TRY(unnamed_file());
  std::vector<std::byte> buffer(kMiB);
  for (;;) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read " + name);
    if (got == 0) return to;
    SPILLFS_TRY(write_all(to, Bytes(buffer).first(static_cast<std::size_t>(got))));
  }
}

// Whether all of the file can be mapped: not a pipe, nor a standard input that was read before.
bool can_be_mapped(const Fd& fd) {
  struct stat found {};
  return ::fstat(fd.get(), &found) == 0 && S_ISREG(found.st_mode) &&
         ::lseek(fd.get(), 0, SEEK_CUR) == 0;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  const bool is_standard = path == "-";
  const std::string name = is_standard ? "standard input" : path;
  const Fd fd(is_standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                          : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open " + name);
  if (can_be_mapped(fd)) return map(fd, name);
  return map(SPILLFS_TRY(copied(fd, name)), name);
}

Result<MappedFile> MappedFile::map(const Fd& fd, const std::string& name) {
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return fail_errno(errno, "stat " + name);
  const auto size = static_cast<std::size_t>(found.st_size);
  if (size == 0) return MappedFile({});
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (start == MAP_FAILED) return fail_errno(errno, "map " + name);
  ::madvise(start, size, MADV_SEQUENTIAL);
  return MappedFile(Bytes(static_cast<const std::byte*>(start), size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace spillfs::fs
