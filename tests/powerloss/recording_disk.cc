// SPDX-License-Identifier: Apache-2.0
// recording_disk MOUNTPOINT IMAGE LOG: IMAGE as the one file MOUNTPOINT/disk, for a loop device.
// What reaches it is appended to LOG before it is answered: a header, and a write's bytes. A flush
// makes durable what is before it in LOG. Runs until it is unmounted.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

#include "fs/fuse/fuse_api.h"

namespace {

constexpr fuse_ino_t kDisk = FUSE_ROOT_ID + 1;
constexpr const char* kDiskName = "disk";
constexpr double kForever = 1e6;  // seconds

enum class Kind : std::uint32_t { kWrite = 1, kFlush = 2, kZero = 3 };

// Little-endian; disk.py reads it.
struct Header {
  Kind kind;
  std::uint32_t time;    // milliseconds of the monotonic clock
  std::uint64_t offset;  // bytes
  std::uint64_t length;  // bytes
};
static_assert(sizeof(Header) == 24);

struct Disk {
  int image = -1;
  int log = -1;
};

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

const Disk& disk_of(fuse_req_t req) { return *static_cast<const Disk*>(fuse_req_userdata(req)); }

std::uint32_t milliseconds() {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now().time_since_epoch();
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// 0 or an errno.
int record(const Disk& disk, Kind kind, off_t offset, std::size_t length, const char* bytes) {
  Header header{.kind = kind,
                .time = milliseconds(),
                .offset = static_cast<std::uint64_t>(offset),
                .length = length};
  const std::size_t payload = bytes == nullptr ? 0 : length;
  // writev's interface wants pointers that it does not write through.
  const std::array<iovec, 2> parts{iovec{&header, sizeof header},
                                   iovec{const_cast<char*>(bytes), payload}};
  const ssize_t put = ::writev(disk.log, parts.data(), parts.size());
  return put == static_cast<ssize_t>(sizeof header + payload) ? 0 : EIO;
}

struct stat attributes(const Disk& disk, fuse_ino_t id) {
  struct stat out {};
  if (id == kDisk) ::fstat(disk.image, &out);
  out.st_ino = id;
  out.st_mode = id == kDisk ? S_IFREG | 0600 : S_IFDIR | 0700;
  out.st_nlink = 1;
  return out;
}

void op_lookup(fuse_req_t req, fuse_ino_t /*parent*/, const char* name) {
  if (std::strcmp(name, kDiskName) != 0) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kDisk;
  entry.attr = attributes(disk_of(req), kDisk);
  entry.attr_timeout = entry.entry_timeout = kForever;
  fuse_reply_entry(req, &entry);
}

void op_getattr(fuse_req_t req, fuse_ino_t id, fuse_file_info* /*file*/) {
  const struct stat found = attributes(disk_of(req), id);
  fuse_reply_attr(req, &found, kForever);
}

void op_open(fuse_req_t req, fuse_ino_t /*id*/, fuse_file_info* file) {
  file->keep_cache = 1;
  fuse_reply_open(req, file);
}

void op_read(fuse_req_t req, fuse_ino_t /*id*/, std::size_t size, off_t offset,
             fuse_file_info* /*file*/) {
  std::vector<char> buffer(size);
  const ssize_t got = ::pread(disk_of(req).image, buffer.data(), size, offset);
  if (got < 0) {
    fuse_reply_err(req, errno);
  } else {
    fuse_reply_buf(req, buffer.data(), static_cast<std::size_t>(got));
  }
}

void op_write(fuse_req_t req, fuse_ino_t /*id*/, const char* bytes, std::size_t size, off_t offset,
              fuse_file_info* /*file*/) {
  const Disk& disk = disk_of(req);
  const bool done = ::pwrite(disk.image, bytes, size, offset) == static_cast<ssize_t>(size) &&
                    record(disk, Kind::kWrite, offset, size, bytes) == 0;
  if (done) {
    fuse_reply_write(req, size);
  } else {
    fuse_reply_err(req, EIO);
  }
}

void op_fsync(fuse_req_t req, fuse_ino_t /*id*/, int /*data_only*/, fuse_file_info* /*file*/) {
  fuse_reply_err(req, record(disk_of(req), Kind::kFlush, 0, 0, nullptr));
}

// A discard or zeros written by name.
void op_fallocate(fuse_req_t req, fuse_ino_t /*id*/, int mode, off_t offset, off_t length,
                  fuse_file_info* /*file*/) {
  const Disk& disk = disk_of(req);
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) {
    fuse_reply_err(req, EOPNOTSUPP);
  } else if (::fallocate(disk.image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) !=
             0) {
    fuse_reply_err(req, errno);
  } else {
    fuse_reply_err(req,
                   record(disk, Kind::kZero, offset, static_cast<std::size_t>(length), nullptr));
  }
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.lookup = op_lookup;
  ops.getattr = op_getattr;
  ops.open = op_open;
  ops.read = op_read;
  ops.write = op_write;
  ops.fsync = op_fsync;
  ops.fallocate = op_fallocate;
  return ops;
}

// One thread: LOG has the order in which things were answered.
int serve(char* program, const char* mountpoint, Disk& disk) {
  const fuse_lowlevel_ops ops = operations();
  fuse_args arguments = FUSE_ARGS_INIT(1, &program);
  const std::unique_ptr<fuse_session, decltype(&fuse_session_destroy)> session(
      fuse_session_new(&arguments, &ops, sizeof ops, &disk), fuse_session_destroy);
  if (session == nullptr || fuse_session_mount(session.get(), mountpoint) != 0) return 1;
  const int result = fuse_session_loop(session.get());
  fuse_session_unmount(session.get());
  return result < 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: recording_disk MOUNTPOINT IMAGE LOG\n", stderr);
    return 2;
  }
  try {
    Disk disk;
    disk.image = check(::open(argv[2], O_RDWR | O_CLOEXEC), argv[2]);
    disk.log = check(::open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), argv[3]);
    return serve(argv[0], argv[1], disk);
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "recording_disk: %s\n", error.what());
    return 1;
  }
}
