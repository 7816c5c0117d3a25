// SPDX-License-Identifier: Apache-2.0
// MemoryIndex: the index in memory, for tests. Nothing survives it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "index/index.h"
#include "index/name_hash.h"
#include "storage/base/mutex.h"

namespace spillfs::index {

class MemoryIndex final : public Index {
 public:
  explicit MemoryIndex(HashForTests hash = {}) : hash_(NameKey{}, 0, std::move(hash)) {}

  Result<> commit(const Batch& batch) override;
  Result<> sync() override { return {}; }
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

 private:
  using Pair = std::pair<std::uint64_t, std::uint64_t>;

  Result<> change_dentry(const Batch::DentryChange& change) REQUIRES(mutex_);
  Result<std::uint64_t> free_cookie(InodeId parent, std::string_view name) REQUIRES(mutex_);
  void change_xattr(const Batch::XattrChange& change) REQUIRES(mutex_);
  void erase_segment(SegmentId id) REQUIRES(mutex_);

  const NameHash hash_;
  Mutex mutex_;
  std::map<std::uint64_t, Inode> inodes_ GUARDED_BY(mutex_);
  std::map<Pair, Dentry> dentries_ GUARDED_BY(mutex_);  // parent, cookie
  std::map<std::pair<std::uint64_t, std::string>, std::uint64_t> cookies_ GUARDED_BY(mutex_);
  std::map<std::pair<std::uint64_t, std::string>, std::string> xattrs_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, Segment> segments_ GUARDED_BY(mutex_);
  std::map<Pair, std::uint64_t> sums_ GUARDED_BY(mutex_);  // segment, chunk
  std::map<Pair, InodeId> records_ GUARDED_BY(mutex_);     // segment, offset
  std::set<std::pair<QueueKind, std::uint64_t>> queue_ GUARDED_BY(mutex_);
  std::map<RequestId, InodeId> replies_ GUARDED_BY(mutex_);
  Totals totals_ GUARDED_BY(mutex_);
  std::map<std::uint32_t, UserTotal> users_ GUARDED_BY(mutex_);
  SyncMark sync_mark_ GUARDED_BY(mutex_);
  ScrubMark scrub_mark_ GUARDED_BY(mutex_);
  std::map<Counter, std::uint64_t> counters_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::index
