// SPDX-License-Identifier: Apache-2.0
// The FUSE protocol, as far as the daemon reads its requests and writes its replies by itself: the
// kernel's ABI, of which nothing changes but by additions. Our own, so that a build is the same
// whatever linux/fuse.h is installed; a test compares it with the one that is.
#pragma once

#include <sys/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace spillfs::fs::protocol {

// The newest version of which something is used.
inline constexpr std::uint32_t kMajor = 7;
inline constexpr std::uint32_t kMinor = 41;

struct InHeader {
  std::uint32_t len;
  std::uint32_t opcode;
  std::uint64_t unique;
  std::uint64_t nodeid;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t pid;
  std::uint16_t total_extlen;
  std::uint16_t padding;
};
static_assert(sizeof(InHeader) == 40 && offsetof(InHeader, pid) == 32);
inline constexpr std::uint64_t kSentAgain = std::uint64_t{1} << 63;  // in `unique`; 7.40

struct OutHeader {
  std::uint32_t len;
  std::int32_t error;  // of a notification, which has no `unique`, its code
  std::uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16 && offsetof(OutHeader, unique) == 8);
inline constexpr std::int32_t kNotifyResend = 7;  // 7.40

// Flags of INIT. The kernel looks at those beyond 32 bits where kInitExt is set.
inline constexpr std::uint64_t kInitAsyncRead = 1U << 0;
inline constexpr std::uint64_t kInitAtomicTruncate = 1U << 3;
inline constexpr std::uint64_t kInitExportSupport = 1U << 4;
inline constexpr std::uint64_t kInitBigWrites = 1U << 5;
inline constexpr std::uint64_t kInitDontMask = 1U << 6;
inline constexpr std::uint64_t kInitReaddirplus = 1U << 13;
inline constexpr std::uint64_t kInitReaddirplusAuto = 1U << 14;
inline constexpr std::uint64_t kInitAsyncDirect = 1U << 15;
inline constexpr std::uint64_t kInitParallelDirops = 1U << 18;
inline constexpr std::uint64_t kInitPosixAcl = 1U << 20;
inline constexpr std::uint64_t kInitMaxPages = 1U << 22;
inline constexpr std::uint64_t kInitExplicitInvalidation = 1U << 25;
inline constexpr std::uint64_t kInitKillprivV2 = 1U << 28;
inline constexpr std::uint64_t kInitLongSetxattr = 1U << 29;
inline constexpr std::uint64_t kInitExt = 1U << 30;
inline constexpr std::uint64_t kInitDirectMmap = std::uint64_t{1} << 36;   // 7.39
inline constexpr std::uint64_t kInitPassthrough = std::uint64_t{1} << 37;  // 7.40
inline constexpr std::uint64_t kInitResend = std::uint64_t{1} << 39;       // 7.40
inline constexpr std::uint64_t kInitAllowIdmap = std::uint64_t{1} << 40;   // 7.41

struct InitIn {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint32_t flags2;  // from here on 7.36
  std::array<std::uint32_t, 11> unused;
};
static_assert(sizeof(InitIn) == 64 && offsetof(InitIn, flags2) == 16);

struct InitOut {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint16_t max_background;
  std::uint16_t congestion_threshold;
  std::uint32_t max_write;
  std::uint32_t time_gran;
  std::uint16_t max_pages;
  std::uint16_t map_alignment;
  std::uint32_t flags2;
  std::uint32_t max_stack_depth;  // 7.40
  std::array<std::uint32_t, 6> unused;
};
static_assert(sizeof(InitOut) == 64 && offsetof(InitOut, max_pages) == 28 &&
              offsetof(InitOut, flags2) == 32 && offsetof(InitOut, max_stack_depth) == 36);

struct Attr {
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t rdev;
  std::uint32_t blksize;
  std::uint32_t flags;
};
static_assert(sizeof(Attr) == 88 && offsetof(Attr, mode) == 60 && offsetof(Attr, flags) == 84);

struct EntryOut {
  std::uint64_t nodeid;
  std::uint64_t generation;
  std::uint64_t entry_valid;
  std::uint64_t attr_valid;
  std::uint32_t entry_valid_nsec;
  std::uint32_t attr_valid_nsec;
  Attr attr;
};
static_assert(sizeof(EntryOut) == 128 && offsetof(EntryOut, attr) == 40);

inline constexpr std::uint32_t kOpenKillsPrivileges = 1U << 0;  // OpenIn, CreateIn: open_flags
struct OpenIn {
  std::uint32_t flags;
  std::uint32_t open_flags;
};
static_assert(sizeof(OpenIn) == 8);

struct CreateIn {
  std::uint32_t flags;
  std::uint32_t mode;
  std::uint32_t umask;
  std::uint32_t open_flags;
};
static_assert(sizeof(CreateIn) == 16);

inline constexpr std::uint32_t kOpenDirect = 1U << 0;  // OpenOut: open_flags
inline constexpr std::uint32_t kOpenKeepCache = 1U << 1;
inline constexpr std::uint32_t kOpenNoFlush = 1U << 5;
inline constexpr std::uint32_t kOpenPassthrough = 1U << 7;  // 7.40
struct OpenOut {
  std::uint64_t fh;
  std::uint32_t open_flags;
  std::int32_t backing_id;  // 7.40
};
static_assert(sizeof(OpenOut) == 16 && offsetof(OpenOut, backing_id) == 12);

struct ReleaseIn {
  std::uint64_t fh;
  std::uint32_t flags;
  std::uint32_t release_flags;
  std::uint64_t lock_owner;
};
static_assert(sizeof(ReleaseIn) == 24);

inline constexpr std::uint32_t kWriteKillsPrivileges = 1U << 2;  // WriteIn: write_flags
struct WriteIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t write_flags;
  std::uint64_t lock_owner;
  std::uint32_t flags;
  std::uint32_t padding;
};
static_assert(sizeof(WriteIn) == 40 && offsetof(WriteIn, write_flags) == 20);

struct WriteOut {
  std::uint32_t size;
  std::uint32_t padding;
};
static_assert(sizeof(WriteOut) == 8);

inline constexpr std::uint32_t kSetattrMode = 1U << 0;  // SetattrIn: valid
inline constexpr std::uint32_t kSetattrSize = 1U << 3;
inline constexpr std::uint32_t kSetattrHandle = 1U << 6;
inline constexpr std::uint32_t kSetattrLockOwner = 1U << 9;
inline constexpr std::uint32_t kSetattrKillsPrivileges = 1U << 11;
struct SetattrIn {
  std::uint32_t valid;
  std::uint32_t padding;
  std::uint64_t fh;
  std::uint64_t size;
  std::uint64_t lock_owner;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t unused4;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t unused5;
};
static_assert(sizeof(SetattrIn) == 88 && offsetof(SetattrIn, mode) == 68);

inline constexpr std::size_t kShortSetxattr = 8;                // without kInitLongSetxattr
inline constexpr std::uint32_t kSetxattrKillsSetGid = 1U << 0;  // SetxattrIn: setxattr_flags
struct SetxattrIn {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t setxattr_flags;
  std::uint32_t padding;
};
static_assert(sizeof(SetxattrIn) == 16 && offsetof(SetxattrIn, setxattr_flags) == kShortSetxattr);

// The ioctl(2) requests of /dev/fuse.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
static_assert(sizeof(BackingMap) == 16);
inline constexpr unsigned long kClone = _IOR(229, 0, std::uint32_t);
inline constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);      // 7.40
inline constexpr unsigned long kBackingClose = _IOW(229, 2, std::uint32_t);  // 7.40

}  // namespace spillfs::fs::protocol
