// SPDX-License-Identifier: Apache-2.0
#include "storage/file_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <new>
#include <span>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kStatBlock = 512;

int fallocate_mode(AllocateMode mode) {
  switch (mode) {
    case AllocateMode::kExtend:
      return 0;
    case AllocateMode::kKeepSize:
      return FALLOC_FL_KEEP_SIZE;
    case AllocateMode::kPunchHole:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    case AllocateMode::kZero:
      return FALLOC_FL_ZERO_RANGE;
    case AllocateMode::kZeroKeepSize:
      return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  }
  return 0;
}

std::string xattr_name(const std::string& name) { return "user.spillfs." + name; }

Result<DeviceSpace> space_of(int fd, const std::string& name, std::uint64_t reserve) {
  struct statvfs found {};
  if (::fstatvfs(fd, &found) != 0) return fail_errno(errno, "space of " + name);
  const std::uint64_t free = found.f_bavail * found.f_frsize;
  return DeviceSpace{.total = found.f_blocks * found.f_frsize,
                     .free = free > reserve ? free - reserve : 0,
                     .reserved = std::min(free, reserve)};
}

// How much of the range has blocks; less where the file system does not tell, or of a file in very
// many pieces.
std::uint64_t mapped_bytes(int fd, std::uint64_t offset, std::uint64_t length) {
  constexpr std::size_t kExtents = 256;
  constexpr int kCalls = 16;
  std::vector<std::byte> memory(sizeof(fiemap) + kExtents * sizeof(fiemap_extent));
  const std::uint64_t end = offset + length;
  std::uint64_t mapped = 0;
  for (int call = 0; call < kCalls && offset < end; ++call) {
    auto* map = new (memory.data()) fiemap{};
    map->fm_start = offset;
    map->fm_length = end - offset;
    map->fm_extent_count = kExtents;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0 || map->fm_mapped_extents == 0) return mapped;
    for (const fiemap_extent& extent : std::span(map->fm_extents, map->fm_mapped_extents)) {
      const std::uint64_t from = std::max<std::uint64_t>(extent.fe_logical, offset);
      const std::uint64_t to = std::min<std::uint64_t>(extent.fe_logical + extent.fe_length, end);
      if (to > from) mapped += to - from;
      offset = std::max(offset, to);
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return mapped;
    }
  }
  return mapped;
}

class OpenFile final : public File {
 public:
  OpenFile(std::string name, Fd fd, std::uint64_t reserve, SlowWatch* watch)
      : name_(std::move(name)), fd_(std::move(fd)), reserve_(reserve), watch_(watch) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    const SlowWatch::Operation watched(watch_, "read", name_);
    std::size_t done = 0;
    while (done < into.size()) {
      const MutableBytes rest = into.subspan(done);
      const ssize_t got =
          ::pread(fd_.get(), rest.data(), rest.size(), static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return error("read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<std::size_t> read_direct(MutableBytes into, std::uint64_t offset) override {
    const SlowWatch::Operation watched(watch_, "read", name_);
    std::size_t done = 0;
    // Where less than a block comes the file ends.
    while (done < into.size() && done % kDirectAlignment == 0) {
      const MutableBytes rest = into.subspan(done);
      const ssize_t got =
          ::pread(direct_descriptor(), rest.data(), rest.size(), static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EINVAL) return read(into, offset);  // a stricter alignment
      if (got < 0) return error("read");
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<> write(Bytes from, std::uint64_t offset) override {
    return write_to(fd_.get(), {&from, 1}, offset);
  }

  Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) override {
    return write_to(fd_.get(), parts, offset);
  }

  Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) override {
    return write_to(direct_descriptor(), parts, offset);
  }

  Result<> write_back(std::uint64_t offset, std::uint64_t length) override {
    const SlowWatch::Operation watched(watch_, "write back", name_);
    constexpr unsigned kAll =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return check(
        ::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), kAll),
        "write back");
  }

  Result<> resize(std::uint64_t size) override {
    const SlowWatch::Operation watched(watch_, "resize", name_);
    return check(::ftruncate(fd_.get(), static_cast<off_t>(size)), "resize");
  }

  Result<> allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length) override {
    const SlowWatch::Operation watched(watch_, "allocate", name_);
    if (mode != AllocateMode::kPunchHole) SPILLFS_TRY(check_room(offset, length));
    int result = 0;
    do {
      result = ::fallocate(fd_.get(), fallocate_mode(mode), static_cast<off_t>(offset),
                           static_cast<off_t>(length));
    } while (result != 0 && errno == EINTR);
    return check(result, "allocate");
  }

  Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset) override {
    const off_t found = ::lseek(fd_.get(), static_cast<off_t>(offset),
                                kind == SeekKind::kData ? SEEK_DATA : SEEK_HOLE);
    if (found < 0) return error("seek");
    return static_cast<std::uint64_t>(found);
  }

  Result<FileStatus> status() override {
    struct stat found {};
    SPILLFS_TRY(check(::fstat(fd_.get(), &found), "stat"));
    return FileStatus{.size = static_cast<std::uint64_t>(found.st_size),
                      .allocated = static_cast<std::uint64_t>(found.st_blocks) * kStatBlock,
                      .modified = found.st_mtim};
  }

  Result<> sync() override {
    const SlowWatch::Operation watched(watch_, "sync", name_);
    return check(::fdatasync(fd_.get()), "sync");
  }

  Result<> set_attribute(const std::string& name, std::string_view value) override {
    return check(::fsetxattr(fd_.get(), xattr_name(name).c_str(), value.data(), value.size(), 0),
                 "set xattr of");
  }

  Result<std::string> attribute(const std::string& name) override {
    std::string value(kXattrMax, '\0');
    const ssize_t got =
        ::fgetxattr(fd_.get(), xattr_name(name).c_str(), value.data(), value.size());
    if (got < 0) return error("read xattr of");
    value.resize(static_cast<std::size_t>(got));
    return value;
  }

  [[nodiscard]] int descriptor() const override { return fd_.get(); }

 private:
  static constexpr std::size_t kXattrMax = 64 * kKiB;

  // Whether the file may have blocks for the range.
  Result<> check_room(std::uint64_t offset, std::uint64_t length) {
    if (reserve_ == 0) return {};
    const DeviceSpace space = SPILLFS_TRY(space_of(fd_.get(), name_, reserve_));
    if (length <= space.free) return {};
    if (length - mapped_bytes(fd_.get(), offset, length) <= space.free) return {};
    return fail(ENOSPC, fmt::format("allocate {}: what is left is for the index", name_));
  }

  Result<> write_to(int fd, std::span<const Bytes> parts, std::uint64_t offset) {
    const SlowWatch::Operation watched(watch_, "write", name_);
    std::vector<iovec> rest;
    for (Bytes part : parts) {
      // pwritev's interface wants pointers that it does not write through.
      rest.push_back({const_cast<std::byte*>(part.data()), part.size()});
    }
    for (std::size_t at = 0; at < rest.size();) {
      const auto count = static_cast<int>(std::min<std::size_t>(rest.size() - at, IOV_MAX));
      const ssize_t put = ::pwritev(fd, &rest[at], count, static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return error("write");
      offset += static_cast<std::uint64_t>(put);
      at = skip_written(rest, at, static_cast<std::size_t>(put));
    }
    return {};
  }

  static std::size_t skip_written(std::vector<iovec>& parts, std::size_t at, std::size_t count) {
    while (at < parts.size() && count >= parts[at].iov_len) count -= parts[at++].iov_len;
    if (count != 0) {
      parts[at].iov_base = static_cast<std::byte*>(parts[at].iov_base) + count;
      parts[at].iov_len -= count;
    }
    return at;
  }

  // A descriptor of its own: O_DIRECT is the open file's, and other reads and writes are not
  // aligned. The ordinary one where the file system has no O_DIRECT.
  int direct_descriptor() {
    MutexLock lock(direct_mutex_);
    if (!direct_ && !no_direct_) {
      const std::string self = fmt::format("/proc/self/fd/{}", fd_.get());
      const int access = ::fcntl(fd_.get(), F_GETFL) & O_ACCMODE;
      direct_ = Fd(::open(self.c_str(), access | O_DIRECT | O_CLOEXEC));
      no_direct_ = !direct_;
    }
    return direct_ ? direct_.get() : fd_.get();
  }

  Failure error(const char* doing, Where where = Where::here()) const {
    return fail_errno(errno, std::string(doing) + " " + name_, where);
  }
  Result<> check(int result, const char* doing, Where where = Where::here()) const {
    if (result != 0) return error(doing, where);
    return {};
  }

  const std::string name_;
  const Fd fd_;
  const std::uint64_t reserve_;
  SlowWatch* const watch_;
  Mutex direct_mutex_;
  Fd direct_ GUARDED_BY(direct_mutex_);
  bool no_direct_ GUARDED_BY(direct_mutex_) = false;
};

// "segments/7.fused" names 7.fused in segments/.
std::string name_in_folder(const std::string& path) { return path.substr(path.find('/') + 1); }

}  // namespace

Result<std::unique_ptr<Device>> FileDevice::open_directory(TrustedDirectory directory,
                                                           std::uint64_t reserve,
                                                           SlowWatch* watch) {
  auto segments = SPILLFS_TRY(directory.make_folder("segments"));
  auto recycle = SPILLFS_TRY(directory.make_folder("recycle"));
  return std::unique_ptr<Device>(new FileDevice(std::move(directory), std::move(segments),
                                                std::move(recycle), Access::kReadWrite, reserve,
                                                watch));
}

Result<std::unique_ptr<Device>> FileDevice::open_read_only(TrustedDirectory directory,
                                                           SlowWatch* watch) {
  auto segments = SPILLFS_TRY(directory.folder("segments"));
  auto recycle = SPILLFS_TRY(directory.folder("recycle"));
  return std::unique_ptr<Device>(new FileDevice(std::move(directory), std::move(segments),
                                                std::move(recycle), Access::kReadOnly, 0, watch));
}

Result<std::unique_ptr<Device>> FileDevice::open_directory(const std::string& path,
                                                           std::uint64_t reserve,
                                                           SlowWatch* watch) {
  return open_directory(SPILLFS_TRY(TrustedDirectory::open(path, Trust::of_process())), reserve,
                        watch);
}

const TrustedDirectory& FileDevice::folder_of(const std::string& path) const {
  return path.starts_with("recycle") ? recycle_ : segments_;
}

Result<Fd> FileDevice::open_at(const std::string& path, int flags) {
  const SlowWatch::Operation watched(watch_, "open", path);
  return folder_of(path).open_file(name_in_folder(path), flags);
}

Result<std::shared_ptr<File>> FileDevice::create(const std::string& path) {
  Fd fd = SPILLFS_TRY(open_at(path, O_RDWR | O_CREAT | O_EXCL));
  return std::make_shared<OpenFile>(directory_.path_to(path), std::move(fd), reserve_, watch_);
}

Result<std::shared_ptr<File>> FileDevice::open(const std::string& path) {
  Fd fd = SPILLFS_TRY(open_at(path, access_ == Access::kReadOnly ? O_RDONLY : O_RDWR));
  return std::make_shared<OpenFile>(directory_.path_to(path), std::move(fd), reserve_, watch_);
}

Result<> FileDevice::remove(const std::string& path) {
  const SlowWatch::Operation watched(watch_, "remove", path);
  return folder_of(path).remove(name_in_folder(path));
}

Result<> FileDevice::rename(const std::string& from, const std::string& to) {
  const SlowWatch::Operation watched(watch_, "rename", from);
  const std::string old_name = name_in_folder(from);
  const std::string new_name = name_in_folder(to);
  if (::renameat(folder_of(from).descriptor(), old_name.c_str(), folder_of(to).descriptor(),
                 new_name.c_str()) == 0) {
    return {};
  }
  return fail_errno(errno, "rename " + directory_.path_to(from) + " to " + to);
}

Result<std::vector<std::string>> FileDevice::list(const std::string& folder) {
  return folder_of(folder).list();
}

Result<> FileDevice::sync_folder(const std::string& folder) {
  const SlowWatch::Operation watched(watch_, "sync", folder);
  return folder_of(folder).sync();
}

Result<> FileDevice::sync_all() {
  const SlowWatch::Operation watched(watch_, "sync", directory_.path());
  return segments_.sync_file_system();
}

// The kernel grants a read lease only on a file that nobody has open for writing. An open for
// writing in between waits for the lease and has its holder signalled, by default with SIGIO, which
// ends a process; SIGURG does nothing (fcntl(2)).
Result<bool> FileDevice::may_be_written(const std::string& path) {
  const Fd fd = SPILLFS_TRY(open_at(path, O_RDONLY));
  if (::fcntl(fd.get(), F_SETSIG, SIGURG) != 0)
    return fail_errno(errno, "lease " + directory_.path_to(path));
  if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) return true;
  ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
  return false;
}

Result<DeviceSpace> FileDevice::space() {
  return space_of(directory_.descriptor(), directory_.path(), reserve_);
}

}  // namespace spillfs::storage
