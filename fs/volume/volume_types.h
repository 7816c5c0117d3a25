// SPDX-License-Identifier: Apache-2.0
// What a Volume is asked with, what it answers with, and what it is told at its start.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "fs/system/boot.h"
#include "fs/volume/content/open_files.h"
#include "fs/volume/content/vnode.h"
#include "index/index.h"
#include "storage/base/ids.h"

namespace spillfs::fs {

// An error code of our own, beyond every errno: space is being reclaimed, try again.
inline constexpr int kWaitForSpace = 4096;
// And another: bytes are on their way to the disk, try again.
inline constexpr int kWaitForDisk = 4097;

struct Caller {
  std::uint32_t uid = 0;  // whose what it makes is
  std::uint32_t gid = 0;
  pid_t pid = 0;  // a thread's id; 0: not known
  RequestId request = kNoRequest;
  std::uint32_t umask = 0;  // for what it makes
  // Set-uid and set-gid of files whose bytes it changes: docs/SEMANTICS.md, "Who may".
  enum class Privileges : std::uint8_t { kStay, kGo } privileges = Privileges::kStay;
  std::optional<uid_t> asks = {};  // as which user, where that may be another than `uid`

  // Whom what it holds counts for, and whose rights it has.
  [[nodiscard]] uid_t user() const { return asks.value_or(uid); }
};

// An inode, as long as nobody uses it.
struct Unused {
  InodeId inode{};
  // A file is used that is open, or was touched after that; a directory never is. None: nothing is.
  std::optional<index::Time> latest;
};

struct SetTime {
  bool now = false;
  index::Time time;  // when not now
};

struct SetAttributes {
  std::optional<std::uint32_t> mode;  // permission bits
  std::optional<std::uint32_t> uid, gid;
  std::optional<std::uint64_t> size;
  std::optional<SetTime> accessed, modified;
  std::optional<Caller> changed_by;  // its bytes are or will be, by one whose `privileges` go
};

struct Opened {
  Attributes attributes;
  HandleId handle;
  IoMode mode = IoMode::kCached;
  bool may_write = true;
  bool keep_cache = true;  // of kCached: the pages that the kernel has are right
  int backing = 0;         // of kPassthrough: the id that Kernel::lend() gave the backing file
};

enum class Listing : std::uint8_t { kNames, kWithAttributes };

struct DirectoryEntry {
  std::uint64_t cookie = 0;  // give it as `after` to go on behind this entry
  std::string name;
  Attributes attributes;  // when only names were asked for: st_ino, and the type in st_mode
};

struct VolumeOptions {
  std::uint64_t quota = 0;       // bytes; 0: what the data directories hold
  std::uint64_t user_quota = 0;  // bytes of a user's files, but root's and ours; 0: any number
  std::uint64_t user_handles = OpenFiles::kMost;  // that a user, but root and we, has open
  // Whether there is room for more names and xattrs, ENOSPC where not. Not set: always.
  std::function<Result<>()> index_room;
  std::uint64_t fuse_limit = 512 * kKiB;
  bool reclaim_in_background = true;  // false: only when reclaim_now() is called
  // Whether the bytes that process `writer` streams into a new private segment go to disk past the
  // page cache. Not set: never.
  std::function<bool(pid_t writer)> write_directly;
  std::uint64_t write_behind = 0;  // bytes of a cached stream that may be dirty; 0: any number
  bool background_checksums = true;
  std::chrono::milliseconds checksum_delay{0};  // after the last writer: many files die before
  // Bytes a second that are read in the background to make sums, and as many to compare files after
  // a loss of power; 0: any number.
  std::uint64_t checksum_rate = 0;
  unsigned write_threads = 0;               // that write so; 0: whoever has a batch full
  bool sync_closes = false;                 // closes and changes of names are to be synced
  std::chrono::milliseconds sync_every{0};  // from one sync of everything to the next; 0: none
  // Who made a directory, as kCreatorXattr says it; empty where it is not known. `runtime`: whose
  // name the directory has (fs/volume/names/runtimes.h). Not set: never.
  std::function<std::string(pid_t maker, std::string_view runtime)> creator;
  // The signal that a process which closes a file is dying of; 0: none. Not set: never.
  std::function<int(pid_t closer)> dying_of;
  // Told at the end of the volume what it does, again and again while that goes on. Not set: never.
  std::function<void(std::string_view doing)> ending;
  // Nothing of the store is to change: what of an earlier process is left stays where it is, and
  // the index, which keeps changes in memory, is told what of it is not to be seen. Neither reclaim
  // nor anything else that makes changes runs; it refuses no call, which is its caller's to do.
  bool read_only = false;
  BootView boot;  // after another boot, what was not synced is doubtful
};

}  // namespace spillfs::fs
