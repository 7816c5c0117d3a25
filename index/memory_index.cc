// SPDX-License-Identifier: Apache-2.0
#include "index/memory_index.h"

#include "index/codec.h"

namespace spillfs::index {
namespace {

template <class Map, class Key>
void erase_with_first(Map& map, const Key& first) {
  auto at = map.lower_bound({first, {}});
  while (at != map.end() && at->first.first == first) at = map.erase(at);
}

}  // namespace

Result<std::uint64_t> MemoryIndex::free_cookie(InodeId parent, std::string_view name) {
  for (unsigned turn = 0; turn < hash_.turns(); ++turn) {
    const std::uint64_t bucket = hash_.bucket(parent, name, turn);
    for (std::uint64_t cookie = bucket; cookie <= bucket + kMaxCollision; ++cookie) {
      if (!dentries_.contains({number(parent), cookie})) return cookie;
    }
  }
  return fail(ENOSPC, "too many names with one hash in a directory");
}

Result<> MemoryIndex::change_dentry(const Batch::DentryChange& change) {
  const std::uint64_t parent = number(change.parent);
  const auto known = cookies_.find({parent, change.name});
  if (!change.target) {
    if (known == cookies_.end()) return {};
    dentries_.erase({parent, known->second});
    cookies_.erase(known);
    return {};
  }
  const std::uint64_t cookie = known != cookies_.end()
                                   ? known->second
                                   : SPILLFS_TRY(free_cookie(change.parent, change.name));
  cookies_[{parent, change.name}] = cookie;
  dentries_[{parent, cookie}] = {.cookie = cookie,
                                 .inode = change.target->first,
                                 .type = change.target->second,
                                 .name = change.name};
  return {};
}

void MemoryIndex::change_xattr(const Batch::XattrChange& change) {
  if (change.value) {
    xattrs_[{number(change.inode), change.name}] = *change.value;
  } else {
    xattrs_.erase({number(change.inode), change.name});
  }
}

void MemoryIndex::erase_segment(SegmentId id) {
  segments_.erase(number(id));
  erase_with_first(sums_, number(id));
  erase_with_first(records_, number(id));
}

Result<> MemoryIndex::commit(const Batch& batch) {
  MutexLock lock(mutex_);
  for (const auto& change : batch.dentries) SPILLFS_TRY(change_dentry(change));
  for (InodeId id : batch.erase_inodes) inodes_.erase(number(id));
  for (InodeId id : batch.erase_xattrs) erase_with_first(xattrs_, number(id));
  for (const Inode& inode : batch.put_inodes) inodes_[number(inode.id)] = inode;
  for (const auto& change : batch.xattrs) change_xattr(change);
  for (SegmentId id : batch.erase_segments) erase_segment(id);
  for (const Segment& segment : batch.put_segments) segments_[number(segment.id)] = segment;
  for (const auto& change : batch.segments) {
    const auto found = segments_.find(number(change.segment));
    if (found == segments_.end()) continue;
    found->second.bytes += static_cast<std::uint64_t>(change.bytes);
    found->second.live += static_cast<std::uint64_t>(change.live);
  }
  for (const auto& change : batch.put_sums) {
    std::uint64_t chunk = change.first;
    for (std::uint64_t sum : change.sums) sums_[{number(change.segment), chunk++}] = sum;
  }
  for (const Record& r : batch.erase_records) records_.erase({number(r.segment), r.offset});
  for (const Record& r : batch.put_records) records_[{number(r.segment), r.offset}] = r.inode;
  for (const QueueEntry& entry : batch.erase_queue) queue_.erase({entry.kind, entry.id});
  for (const QueueEntry& entry : batch.put_queue) queue_.insert({entry.kind, entry.id});
  for (RequestId request : batch.erase_replies) replies_.erase(request);
  if (batch.put_reply) replies_[batch.put_reply->request] = batch.put_reply->inode;
  if (batch.put_sync_mark) sync_mark_ = *batch.put_sync_mark;
  if (batch.put_scrub_mark) scrub_mark_ = *batch.put_scrub_mark;
  totals_.charged += batch.totals.charged;
  totals_.inodes += batch.totals.inodes;
  for (const UserTotal& user : batch.users) {
    UserTotal& total = users_.try_emplace(user.uid, UserTotal{.uid = user.uid}).first->second;
    total.charged += user.charged;
    total.metadata += user.metadata;
  }
  return {};
}

Result<Inode> MemoryIndex::inode(InodeId id) {
  MutexLock lock(mutex_);
  const auto found = inodes_.find(number(id));
  if (found == inodes_.end()) return fail(ENOENT, "no such inode");
  return found->second;
}

Result<Dentry> MemoryIndex::find(InodeId parent, std::string_view name) {
  MutexLock lock(mutex_);
  const auto found = cookies_.find({number(parent), std::string(name)});
  if (found == cookies_.end()) return fail(ENOENT, "no such name");
  return dentries_.at({number(parent), found->second});
}

Result<std::vector<Dentry>> MemoryIndex::list(InodeId parent, std::uint64_t after,
                                              std::size_t limit) {
  MutexLock lock(mutex_);
  std::vector<Dentry> found;
  for (auto at = dentries_.upper_bound({number(parent), after});
       at != dentries_.end() && at->first.first == number(parent) && found.size() < limit; ++at) {
    found.push_back(at->second);
  }
  return found;
}

Result<std::string> MemoryIndex::xattr(InodeId id, std::string_view name) {
  MutexLock lock(mutex_);
  const auto found = xattrs_.find({number(id), std::string(name)});
  if (found == xattrs_.end()) return fail(ENODATA, "no such xattr");
  return found->second;
}

Result<std::vector<std::string>> MemoryIndex::xattr_names(InodeId id) {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (auto at = xattrs_.lower_bound({number(id), {}});
       at != xattrs_.end() && at->first.first == number(id); ++at) {
    names.push_back(at->first.second);
  }
  return names;
}

Result<Segment> MemoryIndex::segment(SegmentId id) {
  MutexLock lock(mutex_);
  const auto found = segments_.find(number(id));
  if (found == segments_.end()) return fail(ENOENT, "no such segment");
  return found->second;
}

Result<std::vector<Segment>> MemoryIndex::segments(SegmentKind kind, SegmentId after,
                                                   std::size_t limit) {
  MutexLock lock(mutex_);
  std::vector<Segment> found;
  for (auto at = segments_.upper_bound(number(after));
       at != segments_.end() && found.size() < limit; ++at) {
    if (at->second.kind == kind) found.push_back(at->second);
  }
  return found;
}

Result<std::vector<std::uint64_t>> MemoryIndex::sums(SegmentId id, std::uint64_t first,
                                                     std::size_t count) {
  MutexLock lock(mutex_);
  std::vector<std::uint64_t> found;
  for (; found.size() < count; ++first) {
    const auto at = sums_.find({number(id), first});
    if (at == sums_.end()) break;
    found.push_back(at->second);
  }
  return found;
}

Result<std::vector<Record>> MemoryIndex::records(SegmentId segment, std::uint64_t from,
                                                 std::size_t limit) {
  MutexLock lock(mutex_);
  std::vector<Record> found;
  for (auto at = records_.lower_bound({number(segment), from});
       at != records_.end() && at->first.first == number(segment) && found.size() < limit; ++at) {
    found.push_back({segment, at->first.second, at->second});
  }
  return found;
}

Result<std::vector<QueueEntry>> MemoryIndex::queue(QueueKind kind, std::uint64_t after,
                                                   std::size_t limit) {
  MutexLock lock(mutex_);
  std::vector<QueueEntry> found;
  for (auto at = queue_.upper_bound({kind, after});
       at != queue_.end() && at->first == kind && found.size() < limit; ++at) {
    found.push_back({kind, at->second});
  }
  return found;
}

Result<QueueEntry> MemoryIndex::queued(QueueKind kind, std::uint64_t id) {
  MutexLock lock(mutex_);
  if (!queue_.contains({kind, id})) return fail(ENOENT, "not queued");
  return QueueEntry{.kind = kind, .id = id};
}

Result<Reply> MemoryIndex::reply(RequestId request) {
  MutexLock lock(mutex_);
  const auto found = replies_.find(request);
  if (found == replies_.end()) return fail(ENOENT, "no such reply");
  return Reply{.request = request, .inode = found->second};
}

Result<> MemoryIndex::erase_all_replies() {
  MutexLock lock(mutex_);
  replies_.clear();
  return {};
}

Result<Totals> MemoryIndex::totals() {
  MutexLock lock(mutex_);
  return totals_;
}

Result<std::vector<UserTotal>> MemoryIndex::users() {
  MutexLock lock(mutex_);
  std::vector<UserTotal> found;
  for (const auto& [uid, total] : users_) found.push_back(total);
  return found;
}

Result<ScrubMark> MemoryIndex::scrub_mark() {
  MutexLock lock(mutex_);
  return scrub_mark_;
}

Result<SyncMark> MemoryIndex::sync_mark() {
  MutexLock lock(mutex_);
  return sync_mark_;
}

Result<std::vector<Inode>> MemoryIndex::inodes(InodeId after, std::size_t limit) {
  MutexLock lock(mutex_);
  std::vector<Inode> found;
  for (auto at = inodes_.upper_bound(number(after)); at != inodes_.end() && found.size() < limit;
       ++at) {
    found.push_back(at->second);
  }
  return found;
}

Result<std::uint64_t> MemoryIndex::reserve(Counter counter, std::uint64_t count) {
  MutexLock lock(mutex_);
  std::uint64_t& next = counters_.try_emplace(counter, first_number(counter)).first->second;
  const std::uint64_t first = next;
  next += count;
  return first;
}

}  // namespace spillfs::index
