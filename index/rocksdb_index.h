// SPDX-License-Identifier: Apache-2.0
// RocksdbIndex: the index on disk, in RocksDB. Rows: docs/FORMAT.md. One WriteBatch per commit();
// opening replays at most a bounded log and walks no rows.
#pragma once

#include <rocksdb/db.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "index/index.h"
#include "index/name_hash.h"
#include "index/rocksdb_health.h"
#include "storage/base/bytes.h"
#include "storage/base/mutex.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::index {

// How the names of an index of the first format are hashed from now on; a new index has keys
// anyhow. kKeyed is for good: programs that know only the first format would misread it then.
enum class Names : std::uint8_t { kAsTheyAre, kKeyed };

// Where changes of the index go: to its files, or to memory, which forgets them with the index.
enum class Changes : std::uint8_t { kToDisk, kToMemory };

struct RocksdbOptions {
  std::uint64_t block_cache = 64 * kMiB;
  Names names = Names::kAsTheyAre;
  HashForTests hash;
  // Called when a commit, or the writing of what a crash left in the log at open(), finds the file
  // system full; when it says that it made room, that is tried again.
  std::function<bool()> no_space;
  // kToMemory: no file in the database's directory is made, changed or removed.
  Changes changes = Changes::kToDisk;
  // For tests; the machine's own when not set.
  std::shared_ptr<rocksdb::Env> env;
  // From an error after which RocksDB takes no changes to an attempt to go on, and to the next.
  std::chrono::milliseconds resume_after{3000};
};

// While RocksDB takes no changes, each fails with EROFS, or ENOSPC when that is why, and reads go
// on.
class RocksdbIndex final : public Index {
 public:
  // Makes the database in `folder` where there is none. EBUSY when a process has it open; this one
  // must not have it open itself. The database is reached through the descriptor.
  static Result<std::unique_ptr<RocksdbIndex>> open(TrustedDirectory folder,
                                                    RocksdbOptions options);
  // As above, by its path, which is made where it is missing; EBUSY also for this process.
  static Result<std::unique_ptr<RocksdbIndex>> open(const std::string& folder,
                                                    RocksdbOptions options);
  ~RocksdbIndex() override;
  // Reads every block of the database and compares it with its checksum.
  Result<> verify();

  Result<> commit(const Batch& batch) override;
  Result<> sync() override;
  Result<Inode> inode(InodeId id) override;
  Result<Dentry> find(InodeId parent, std::string_view name) override;
  Result<std::vector<Dentry>> list(InodeId parent, std::uint64_t after, std::size_t limit) override;
  Result<std::string> xattr(InodeId id, std::string_view name) override;
  Result<std::vector<std::string>> xattr_names(InodeId id) override;
  Result<Segment> segment(SegmentId id) override;
  Result<std::vector<Segment>> segments(SegmentKind kind, SegmentId after,
                                        std::size_t limit) override;
  Result<std::vector<std::uint64_t>> sums(SegmentId id, std::uint64_t first,
                                          std::size_t count) override;
  Result<std::vector<Record>> records(SegmentId segment, std::uint64_t from,
                                      std::size_t limit) override;
  Result<std::vector<QueueEntry>> queue(QueueKind kind, std::uint64_t after,
                                        std::size_t limit) override;
  Result<QueueEntry> queued(QueueKind kind, std::uint64_t id) override;
  Result<Reply> reply(RequestId request) override;
  Result<> erase_all_replies() override;
  Result<Totals> totals() override;
  Result<std::vector<UserTotal>> users() override;
  Result<SyncMark> sync_mark() override;
  Result<ScrubMark> scrub_mark() override;
  Result<std::vector<Inode>> inodes(InodeId after, std::size_t limit) override;
  Result<std::uint64_t> reserve(Counter counter, std::uint64_t count) override;
  [[nodiscard]] std::string trouble() const override { return health_->trouble(); }

 private:
  enum Family : std::size_t {
    kDefault,
    kInodes,
    kDentries,
    kXattrs,
    kSegments,
    kSums,
    kRecords,
    kReclaim,
    kReplies,
    kMeta,
    kFamilies
  };
  // Dentry rows as a batch has changed them so far; none = erased.
  using Overlay = std::unordered_map<std::string, std::optional<std::string>>;
  struct Slot {  // where a name is, or could be put
    std::uint64_t cookie = 0;
    bool found = false;
    Dentry dentry;                      // when found
    std::vector<std::uint64_t> passed;  // full buckets on the way to it
  };

  explicit RocksdbIndex(RocksdbOptions options, std::optional<TrustedDirectory> folder = {});
  static Result<std::unique_ptr<RocksdbIndex>> begin(std::unique_ptr<RocksdbIndex> index,
                                                     const std::string& folder);
  Result<> open_families(const std::string& folder);
  static Result<> make_private(const std::string& folder);
  Result<> load_hash();
  Result<NameKey> make_name_key(InodeId first);

  rocksdb::ColumnFamilyHandle* family(Family name) const { return families_.at(name); }
  // None when there is no such row.
  Result<std::optional<std::string>> get(Family from, const std::string& key);
  Result<std::optional<std::string>> dentry_row(const Overlay& overlay, const std::string& key);
  Result<Slot> locate(const Overlay& overlay, InodeId parent, std::string_view name);
  // One more bucket of the way that locate() goes; true when the way ends there.
  Result<bool> search_bucket(const Overlay& overlay, InodeId parent, std::uint64_t bucket,
                             std::string_view name, Slot& slot);
  // Calls each(key, value) for the rows in [from, to) until it returns false.
  Result<> scan(Family of, const std::string& from, const std::string& to,
                const std::function<Result<bool>(std::string_view, std::string_view)>& each);
  Result<> erase_range(rocksdb::WriteBatch& rows, Family of, const std::string& from,
                       const std::string& to);

  Result<> add_dentry(Overlay& overlay, const Batch::DentryChange& change);
  Result<> drop_dentry(Overlay& overlay, InodeId parent, const Slot& slot);
  Result<> drop_empty_rows(Overlay& overlay, InodeId parent, std::uint64_t from);
  Result<std::uint64_t> names_beyond(const Overlay& overlay, InodeId parent, std::uint64_t bucket);
  Result<> write(rocksdb::WriteBatch& rows, const char* doing = "write to the index");
  Result<> add_inodes(rocksdb::WriteBatch& rows, const Batch& batch);
  Result<> add_segments(rocksdb::WriteBatch& rows, const Batch& batch);
  Result<> add_queue(rocksdb::WriteBatch& rows, const Batch& batch);
  Result<> add_replies(rocksdb::WriteBatch& rows, const Batch& batch);
  Result<> add_totals(rocksdb::WriteBatch& rows, const Batch& batch);

  const RocksdbOptions options_;
  const std::optional<TrustedDirectory> folder_;  // open as long as the database
  const std::shared_ptr<rocksdb::Env> env_;
  const std::shared_ptr<RocksdbHealth> health_ = std::make_shared<RocksdbHealth>();
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::optional<NameHash> hash_;  // once it is open
  Mutex counters_mutex_;          // orders reserve()
};

}  // namespace spillfs::index
