// SPDX-License-Identifier: Apache-2.0
// The index: names, inodes, locations, segment accounting. RocksdbIndex is the real one,
// MemoryIndex the double; one conformance suite runs on both. Keys and values: docs/FORMAT.md.
//
// Threads: every method may be called from any thread. Changes to one directory's entries must be
// ordered by the caller (Volume holds the directory's lock across find and commit).
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/ids.h"
#include "storage/base/result.h"

namespace spillfs::index {

struct Time {
  std::int64_t seconds = 0;  // since 1970, may be negative
  std::uint32_t nanoseconds = 0;
  friend auto operator<=>(const Time&, const Time&) = default;
};

// Seals are counted in epochs: docs/ARCHITECTURE.md, "After a loss of power".
enum class Epoch : std::uint64_t {};
inline constexpr Epoch kOnDisk{0};  // of bytes that were synced by themselves
constexpr std::uint64_t number(Epoch epoch) { return static_cast<std::uint64_t>(epoch); }

struct Inode {
  InodeId id{};
  std::uint32_t mode = 0;   // type and permission bits, as st_mode
  std::uint32_t links = 0;  // names of a file; directories: 2 + subdirectories
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t device = 0;    // st_rdev of a device node
  std::uint64_t size = 0;      // st_size: bytes of a file or a symlink's target
  std::uint64_t charged = 0;   // bytes of data directories this file counts for
  std::uint64_t metadata = 0;  // bytes that its row, its names and xattrs count for
  Time accessed, modified, changed, born;
  Location location;
  bool sums_valid = false;  // the sums of its private segment are those of its bytes
  bool has_xattrs = false;
  Epoch sealed_in = kOnDisk;
  // Where the last name it was given is; certain for directories, of a file it may be gone.
  InodeId parent{};
  std::uint64_t entries = 0;  // directories: names in it; files: the Ray objects in it
  std::string text;           // that name; of a symlink, its target

  friend bool operator==(const Inode&, const Inode&) = default;
};

// `cookie` is the readdir offset: name hash (55 bits, never 0) << 8 | collision number. It is below
// 2^63, at least 256, and stays while the name exists. Users see it: NameHash.
struct Dentry {
  std::uint64_t cookie = 0;
  InodeId inode{};
  std::uint32_t type = 0;  // mode & S_IFMT
  std::string name;
  friend bool operator==(const Dentry&, const Dentry&) = default;
};

struct Segment {
  SegmentId id{};
  SegmentKind kind = SegmentKind::kFused;
  DirectoryId directory{};
  InodeId inode{};          // owner of a private segment
  std::uint64_t bytes = 0;  // fused: record bytes appended so far
  std::uint64_t live = 0;   // fused: record bytes an inode still names
  friend bool operator==(const Segment&, const Segment&) = default;
};

// A record in a fused segment and whose it was when it was written.
struct Record {
  SegmentId segment{};
  std::uint64_t offset = 0;
  InodeId inode{};
  friend bool operator==(const Record&, const Record&) = default;
};

// Work that outlives the process, in the `reclaim` column family.
enum class QueueKind : std::uint8_t {
  kUnsealed = 1,  // id = inode: created and never sealed; a restart removes it and its name
  kOrphan = 2,    // id = inode: no names left, perhaps still open
  kOpening = 3,   // id = segment: private, registered and not yet named by an inode
  kDead = 4,      // id = segment: nothing names it; its file can go
  kDamaged = 5,   // id = inode: its sealed bytes are wrong, it is not opened
  kScrubbed = 6,  // id = segment: the background scrub has come so far; at most one
  kSpared = 7,    // id = segment: a rebuild of the index left its file as it is, without a row
};
struct QueueEntry {
  QueueKind kind{};
  std::uint64_t id = 0;
  friend bool operator==(const QueueEntry&, const QueueEntry&) = default;
};

// What a request that changed something was answered: with which inode, or none (InodeId{0}).
struct Reply {
  RequestId request = kNoRequest;
  InodeId inode{};
  friend bool operator==(const Reply&, const Reply&) = default;
};

// The machine's clocks: when it was booted, in ms since 1970, and how long it runs, in ms. 0: not
// known.
struct BootClock {
  std::int64_t booted = 0;
  std::int64_t uptime = 0;
  friend bool operator==(const BootClock&, const BootClock&) = default;
};

// How much of the store is on disk.
struct SyncMark {
  struct Range {  // both ends are in it
    Epoch first{};
    Epoch last{};
    friend bool operator==(const Range&, const Range&) = default;
  };
  std::string boot;             // of the machine, at the latest mount; empty: none so far
  Epoch epoch{};                // the latest that a seal may carry
  Epoch synced{};               // bytes sealed in it or before are on disk, but for the doubtful
  std::vector<Range> doubtful;  // the power went before they were synced
  bool certain = false;         // `boot` is the machine's; false: perhaps a container's
  BootClock clock;              // when the mark was put; unknown of earlier versions
  friend bool operator==(const SyncMark&, const SyncMark&) = default;
};

// How far the scrub is in time, in seconds since 1970; docs/RELIABILITY.md, "Scrub".
struct ScrubMark {
  std::int64_t began = 0;           // the pass that goes on from kScrubbed; 0: none
  std::int64_t compared_since = 0;  // what has a sum was compared or written since; 0: not known
  friend bool operator==(const ScrubMark&, const ScrubMark&) = default;
};

struct Totals {
  std::int64_t charged = 0;  // bytes, over all inodes
  std::int64_t inodes = 0;
};

struct UserTotal {
  std::uint32_t uid = 0;
  std::int64_t charged = 0;   // bytes, over the inodes that this user owns
  std::int64_t metadata = 0;  // bytes, over the same
  friend bool operator==(const UserTotal&, const UserTotal&) = default;
};

enum class Counter : std::uint8_t { kInode, kSegment, kSequence };

// Sums are kept in rows of so many: those of 256 MiB.
inline constexpr std::uint64_t kSumsPerRow = 256;

// The changes of one filesystem operation; commit() makes all of them or none. Within a batch the
// dentry changes apply in order.
struct Batch {
  struct DentryChange {
    InodeId parent{};
    std::string name;
    std::optional<std::pair<InodeId, std::uint32_t>> target;  // inode and type; none = remove
  };
  struct XattrChange {
    InodeId inode{};
    std::string name;
    std::optional<std::string> value;  // none = remove
  };
  struct SegmentChange {  // added to what the segment's row holds
    SegmentId segment{};
    std::int64_t bytes = 0;
    std::int64_t live = 0;
  };
  struct SumsChange {  // XXH3 of chunks `first`, `first` + 1, … of a private segment: up to its end
    SegmentId segment{};
    std::vector<std::uint64_t> sums;
    std::uint64_t first = 0;  // a multiple of kSumsPerRow
  };

  std::vector<Inode> put_inodes;
  std::vector<InodeId> erase_inodes;
  std::vector<InodeId> erase_xattrs;  // all of these inodes'
  std::vector<DentryChange> dentries;
  std::vector<XattrChange> xattrs;
  std::vector<Segment> put_segments;
  std::vector<SegmentId> erase_segments;  // with their sums and records
  std::vector<SegmentChange> segments;
  std::vector<SumsChange> put_sums;
  std::vector<Record> put_records;
  std::vector<Record> erase_records;
  std::vector<QueueEntry> put_queue;
  std::vector<QueueEntry> erase_queue;
  std::optional<Reply> put_reply;        // in the same batch as the change
  std::vector<RequestId> erase_replies;  // those that have been answered since
  std::optional<SyncMark> put_sync_mark;
  std::optional<ScrubMark> put_scrub_mark;
  Totals totals;                 // added to what the index holds
  std::vector<UserTotal> users;  // added, too
};

class Index {
 public:
  virtual ~Index() = default;

  virtual Result<> commit(const Batch& batch) = 0;
  // Everything committed so far survives power loss.
  virtual Result<> sync() = 0;

  virtual Result<Inode> inode(InodeId id) = 0;                             // ENOENT
  virtual Result<Dentry> find(InodeId parent, std::string_view name) = 0;  // ENOENT
  // Up to `limit` names with cookies above `after`, in cookie order; empty at the end.
  virtual Result<std::vector<Dentry>> list(InodeId parent, std::uint64_t after,
                                           std::size_t limit) = 0;
  virtual Result<std::string> xattr(InodeId id, std::string_view name) = 0;  // ENODATA
  virtual Result<std::vector<std::string>> xattr_names(InodeId id) = 0;      // sorted
  virtual Result<Segment> segment(SegmentId id) = 0;                         // ENOENT
  virtual Result<std::vector<Segment>> segments(SegmentKind kind, SegmentId after,
                                                std::size_t limit) = 0;
  // The sums of chunks [first, first + count); shorter where chunks have none. Behind those put
  // last there may be older ones.
  virtual Result<std::vector<std::uint64_t>> sums(SegmentId id, std::uint64_t first,
                                                  std::size_t count) = 0;
  // Records of `segment` at `from` or above, in offset order.
  virtual Result<std::vector<Record>> records(SegmentId segment, std::uint64_t from,
                                              std::size_t limit) = 0;
  virtual Result<std::vector<QueueEntry>> queue(QueueKind kind, std::uint64_t after,
                                                std::size_t limit) = 0;
  virtual Result<QueueEntry> queued(QueueKind kind, std::uint64_t id) = 0;  // ENOENT
  virtual Result<Reply> reply(RequestId request) = 0;                       // ENOENT
  virtual Result<> erase_all_replies() = 0;                                 // of an earlier mount
  virtual Result<Totals> totals() = 0;
  virtual Result<std::vector<UserTotal>>
  users() = 0;                                 // of everyone who ever owned bytes, any order
  virtual Result<SyncMark> sync_mark() = 0;    // all zero when none was put
  virtual Result<ScrubMark> scrub_mark() = 0;  // as well
  // Inodes with ids above `after`, in order: for check.
  virtual Result<std::vector<Inode>> inodes(InodeId after, std::size_t limit) = 0;
  // The first of `count` numbers never handed out before and never again. Starts at 2 for inodes
  // (1 is the root), at 1 otherwise.
  virtual Result<std::uint64_t> reserve(Counter counter, std::uint64_t count) = 0;
  // Why it takes no changes now, and each fails with EROFS or ENOSPC; empty when it does.
  [[nodiscard]] virtual std::string trouble() const { return {}; }
};

// Calls `each` for the entries of a kind, in id order, as they are when the walk comes by; it may
// erase the one it is given. Ends with the first error.
Result<> for_each_queued(Index& index, QueueKind kind,
                         const std::function<Result<>(const QueueEntry&)>& each);

// No number up to `highest` is handed out any more.
Result<> reserve_up_to(Index& index, Counter counter, std::uint64_t highest);

}  // namespace spillfs::index
