// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_statx.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cstddef>

#include "fs/fuse/fuse_file_ops.h"
#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/fuse/fuse_reply.h"

namespace spillfs::fs {
namespace {

struct Time {
  std::int64_t seconds;
  std::uint32_t nanoseconds;
  std::int32_t reserved;
};

struct Statx {
  std::uint32_t mask;
  std::uint32_t blksize;
  std::uint64_t attributes;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint16_t mode;
  std::uint16_t spare0;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t attributes_mask;
  Time atime, btime, ctime, mtime;
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::array<std::uint64_t, 14> spare2;
};

struct StatxOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec;
  std::uint32_t flags;
  std::array<std::uint64_t, 2> spare;
  Statx stat;
};
static_assert(sizeof(Statx) == 256 && sizeof(StatxOut) == 288);
static_assert(offsetof(Statx, ino) == 32 && offsetof(Statx, btime) == 80 &&
              offsetof(Statx, mtime) == 112 && offsetof(Statx, rdev_major) == 128);

Time raw_time(const timespec& time) {
  return {.seconds = time.tv_sec,
          .nanoseconds = static_cast<std::uint32_t>(time.tv_nsec),
          .reserved = 0};
}

Statx raw_statx(const Attributes& from) {
  const bool knows_birth = from.born.tv_sec != 0 || from.born.tv_nsec != 0;
  return {.mask = STATX_BASIC_STATS | (knows_birth ? STATX_BTIME : 0U),
          .blksize = static_cast<std::uint32_t>(from.st_blksize),
          .attributes = 0,
          .nlink = static_cast<std::uint32_t>(from.st_nlink),
          .uid = from.st_uid,
          .gid = from.st_gid,
          .mode = static_cast<std::uint16_t>(from.st_mode),
          .spare0 = 0,
          .ino = from.st_ino,
          .size = static_cast<std::uint64_t>(from.st_size),
          .blocks = static_cast<std::uint64_t>(from.st_blocks),
          .attributes_mask = 0,
          .atime = raw_time(from.st_atim),
          .btime = raw_time(from.born),
          .ctime = raw_time(from.st_ctim),
          .mtime = raw_time(from.st_mtim),
          .rdev_major = ::gnu_dev_major(from.st_rdev),
          .rdev_minor = ::gnu_dev_minor(from.st_rdev),
          .dev_major = 0,
          .dev_minor = 0,
          .spare2 = {}};
}

}  // namespace

bool is_statx(Bytes request) {
  return load<protocol::InHeader>(request).opcode == protocol::kStatx;
}

void serve_statx(FuseContext& context, Bytes request) {
  const auto header = load<protocol::InHeader>(request);
  const InodeId id{header.nodeid};
  auto look = [&]() -> Result<Attributes> {
    if (!ControlFiles::owns(id)) return context.volume->get_attributes(id);
    return SPILLFS_TRY(context.control->attributes(id));
  };
  const auto found = guarded(look);
  if (!found) {
    const int code = log_error(*context.volume, "statx", found.error());
    return static_cast<void>(reply_raw(context, header.unique, code, {}));
  }
  const StatxOut reply{.attr_valid = static_cast<std::uint64_t>(cache_seconds(*found)),
                       .attr_valid_nsec = 0,
                       .flags = 0,
                       .spare = {},
                       .stat = raw_statx(*found)};
  static_cast<void>(reply_raw(context, header.unique, 0, bytes_of(reply)));
}

}  // namespace spillfs::fs
