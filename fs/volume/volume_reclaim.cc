// SPDX-License-Identifier: Apache-2.0
// Reclaim: gives back the bytes nobody needs. Orphans become dead segments and dead records; dead
// segments are recycled or removed; fused segments below half live are compacted.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kQueuePage = 256;
constexpr std::size_t kOrphansAtOnce = 64;
constexpr std::chrono::milliseconds kPause{1000};
constexpr std::chrono::milliseconds kGather{10};
constexpr std::chrono::milliseconds kSweep{100};  // how late the quota hears of passthrough writers

void warn(const char* doing, const Result<>& result) {
  if (!result) spdlog::error("reclaim: {}: {}", doing, describe(result.error()));
}

}  // namespace

// The inode has no names left; its bytes are dead once nobody has it open.
void Volume::orphaned(const VnodeRef& vnode) {
  let_go(*vnode);
  MutexLock lock(reclaim_mutex_);
  orphans_[number(vnode->id)] = vnode;
  if (vnode->opens > 0 || vnode->dead != 0) return;
  let_die(*vnode);
  reclaim_soon();
}

void Volume::forget(InodeId id) {
  MutexLock lock(reclaim_mutex_);
  if (orphans_.contains(number(id))) reclaim_soon();
}

// Deletes come in crowds: a run begins a moment after the first of them.
void Volume::reclaim_soon() {
  if (reclaim_kicked_) return;
  reclaim_kicked_ = true;
  reclaim_wanted_.notify_all();
}

void Volume::kick_reclaim() {
  MutexLock lock(reclaim_mutex_);
  reclaim_kicked_ = true;
  reclaim_wanted_.notify_all();
}

void Volume::reclaim_loop(const std::stop_token& stop) {
  std::chrono::milliseconds pause = kPause;
  Clock::time_point last_run = Clock::now();
  while (!stop.stop_requested()) {
    bool kicked = false;
    {
      MutexLock lock(reclaim_mutex_);
      if (!reclaim_kicked_) reclaim_wanted_.wait_for(reclaim_mutex_, pause);
      // kick_reclaim() ends this wait, too.
      const bool hurry = space_wanted_ || pool_wanted_ || stop.stop_requested();
      if (reclaim_kicked_ && !hurry) reclaim_wanted_.wait_for(reclaim_mutex_, kGather);
      kicked = std::exchange(reclaim_kicked_, false);
    }
    if (stop.stop_requested()) return;
    pause = sweep() ? kSweep : kPause;
    if (!kicked && Clock::now() - last_run < kPause) continue;
    last_run = Clock::now();
    warn("run", reclaim_now(stop));
  }
}

Result<> Volume::reclaim_now(const std::stop_token& stop) {
  MutexLock run(reclaim_run_);
  if (kernel_unknown_) return {};
  ++reclaim_runs_;
  {
    MutexLock lock(reclaim_mutex_);
    reclaim_kicked_ = false;  // what it was for is looked at from here on
  }
  const std::uint64_t before = space_.dead() + segments_->pool_bytes();
  warn("orphans", reclaim_orphans(stop));
  warn("dead segments", reclaim_dead(stop));
  if (space_wanted_.exchange(false)) warn("compaction", compact_worst());
  warn("compaction", compact_all(stop));
  warn("compacted segments", reclaim_dead(stop));
  if (pool_wanted_.exchange(false)) warn("the pool", segments_->drop_pool());
  std::unordered_set<std::uint64_t> reverted;
  {
    MutexLock lock(reclaim_mutex_);
    reverted.swap(reverted_);
  }
  const auto kernel = kernel_side();
  for (std::uint64_t id : reverted) {
    if (kernel->drop_caches) kernel->drop_caches(InodeId{id});
  }
  const bool freed = space_.dead() + segments_->pool_bytes() < before;
  if (kernel->wake && freed) kernel->wake();
  return {};
}

Result<> Volume::reclaim_orphans(const std::stop_token& stop) {
  std::vector<VnodeRef> found;
  {
    MutexLock lock(reclaim_mutex_);
    for (const auto& [id, vnode] : orphans_) found.push_back(vnode);
  }
  const auto kernel = kernel_side();
  std::erase_if(found, [&](const VnodeRef& vnode) {
    if (stop.stop_requested() || is_in_use(*vnode)) return true;
    return kernel->holds && kernel->holds(vnode->id);
  });
  for (std::size_t at = 0; at < found.size() && !stop.stop_requested(); at += kOrphansAtOnce) {
    const std::size_t count = std::min(kOrphansAtOnce, found.size() - at);
    SPILLFS_TRY(reclaim_orphans(std::span(found).subspan(at, count)));
  }
  return {};
}

// Asked before the kernel is, which takes longer: a user may have very many open.
bool Volume::is_in_use(Vnode& vnode) {
  if (!vnode.mutex.try_lock()) return true;
  const bool is_open = vnode.opens > 0;
  vnode.mutex.unlock();
  return is_open;
}

// One batch for many: each is a place in the index's queue of writers. The locks are only tried, so
// that their order does not matter.
Result<> Volume::reclaim_orphans(std::span<const VnodeRef> orphans) NO_THREAD_SAFETY_ANALYSIS {
  std::vector<VnodeRef> locked;
  index::Batch batch;
  for (const VnodeRef& vnode : orphans) {
    if (!vnode->mutex.try_lock()) continue;
    // A request that found it before may still open, change or name it: the next run looks again.
    constexpr long kOurs = 2;  // orphans_ and `orphans`
    if (vnode->opens > 0 || vnode.use_count() > kOurs + vnode->watchers) {
      vnode->mutex.unlock();
      continue;
    }
    locked.push_back(vnode);
    if (vnode->inode.links != 0) continue;
    erase_orphan(*vnode, batch);
    forget_damage(vnode->id, batch);
  }
  auto done = locked.empty() ? Result<>() : index_->commit(batch);
  for (const VnodeRef& vnode : locked) {
    if (done && vnode->inode.links == 0) bury(*vnode);
    vnode->mutex.unlock();
    MutexLock reclaim(reclaim_mutex_);
    if (done) orphans_.erase(number(vnode->id));
  }
  return done;
}

// A private segment that the index does not name yet: the bytes since, or without, a seal.
SegmentId Volume::unnamed_segment(const Vnode& vnode) {
  const bool has_one =
      vnode.segment != nullptr && vnode.segment->id() != vnode.inode.location.segment;
  return has_one ? vnode.segment->id() : kNoSegment;
}

void Volume::erase_orphan(const Vnode& vnode, index::Batch& batch) {
  batch.erase_inodes.push_back(vnode.id);
  if (vnode.inode.has_xattrs) batch.erase_xattrs.push_back(vnode.id);
  batch.erase_queue.push_back({index::QueueKind::kOrphan, number(vnode.id)});
  batch.totals.charged -= static_cast<std::int64_t>(vnode.inode.charged);
  --batch.totals.inodes;
  count_for({.uid = vnode.inode.uid,
             .charged = -static_cast<std::int64_t>(vnode.inode.charged),
             .metadata = -static_cast<std::int64_t>(vnode.inode.metadata)},
            batch);
  release_location(vnode.inode, batch);
  const SegmentId unnamed = unnamed_segment(vnode);
  if (unnamed == kNoSegment) return;
  batch.put_queue.push_back({index::QueueKind::kDead, number(unnamed)});
  batch.erase_queue.push_back({index::QueueKind::kOpening, number(unnamed)});
}

// The index knows the inode no more.
void Volume::bury(Vnode& vnode) {
  const Location& location = vnode.inode.location;
  --inodes_;
  users_.gone(vnode.inode.uid, vnode.dead);
  damaged_.remove(vnode.id);
  if (location.placement == Placement::kFused) fused_.kill(location);
  SegmentId segment = unnamed_segment(vnode);
  if (segment == kNoSegment && location.placement == Placement::kPrivate) {
    segment = location.segment;
  }
  // The bytes of a private segment stay dead until it is freed, those of a record count among its
  // segment's. The rows are gone.
  const std::uint64_t rows = std::min(vnode.inode.metadata, vnode.dead);
  if (segment != kNoSegment) {
    space_.reclaimed(rows);
    MutexLock reclaim(reclaim_mutex_);
    dead_private_[number(segment)] = vnode.dead - rows;
  } else {
    space_.reclaimed(vnode.dead);
  }
  vnode.staged.reset();
  note_staged(vnode);
  vnode.segment.reset();
  vnode.fused.reset();
  vnode.loaded = false;  // whoever finds it from now on asks the index
}

Result<> Volume::reclaim_dead(const std::stop_token& stop) {
  std::vector<SegmentId> dead = fused_.empty();
  SPILLFS_TRY(for_each_queued(*index_, index::QueueKind::kDead, [&](const auto& entry) {
    dead.push_back(SegmentId{entry.id});
    return Result<>();
  }));
  if (dead.empty()) return {};
  // A delete lost to a power cut must not come back with another file's bytes.
  SPILLFS_TRY(index_->sync());
  for (SegmentId id : dead) {
    if (stop.stop_requested()) break;
    warn("free a segment", free_segment(id));
  }
  return {};
}

Result<> Volume::free_segment(SegmentId id) {
  index::Batch batch{.erase_segments = {id},
                     .erase_queue = {{index::QueueKind::kDead, number(id)}}};
  const auto segment = SPILLFS_TRY(if_any(index_->segment(id)));
  if (segment && segment->kind == SegmentKind::kPrivate) {
    SPILLFS_TRY(may_be_mapped(id) ? segments_->remove(SegmentKind::kPrivate, id, segment->directory)
                                  : segments_->recycle(id, segment->directory));
  } else if (segment) {
    if (segment->live != 0) return fail(EIO, "the index still names records in it");
    SPILLFS_TRY(segments_->remove(SegmentKind::kFused, id, segment->directory));
  }
  SPILLFS_TRY(index_->commit(batch));
  ++freed_segments_;
  if (segment && segment->kind == SegmentKind::kFused) {
    fused_.forget(id, segment->bytes);
  } else {
    MutexLock lock(reclaim_mutex_);
    lent_for_writing_.erase(number(id));
    dense_.erase(number(id));
    const auto dead = dead_private_.extract(number(id));
    if (!dead.empty()) space_.reclaimed(dead.mapped());
  }
  return {};
}

// A mapping that the kernel made on a backing file may outlive every open, and the mount: those of
// this mount hold their inode, so that it is not reclaimed, but a file that was written through
// one, or of an earlier mount, is not used for another, nor for a stream of new bytes.
bool Volume::may_be_mapped(SegmentId id) {
  MutexLock lock(reclaim_mutex_);
  return !numbers_.is_new(id) || lent_for_writing_.contains(number(id));
}

// What has died meanwhile goes first: it costs nothing, and there may be very much to copy.
Result<> Volume::compact_all(const std::stop_token& stop) {
  for (SegmentId id : fused_.sparse()) {
    SPILLFS_TRY(compact(id));
    if (stop.stop_requested() || reclaim_is_wanted()) break;
  }
  return {};
}

bool Volume::reclaim_is_wanted() {
  MutexLock lock(reclaim_mutex_);
  return reclaim_kicked_;
}

// Someone waits for space: the segment with the most dead bytes goes, however many live it has.
Result<> Volume::compact_worst() {
  const SegmentId worst = SPILLFS_TRY(fused_.worst());
  if (worst == kNoSegment) return {};
  const auto done = compact(worst);
  const bool full = !done && (done.error().code == ENOSPC || done.error().code == kWaitForSpace);
  return full ? Result<>() : done;  // no room for copies: nothing to gain here
}

// Moves what is live; the dead segment goes with the next reclaim_dead(). Copies of many records
// are synced together, then each is named.
Result<> Volume::compact(SegmentId segment) {
  std::uint64_t from = 0;
  for (;;) {
    const auto records = SPILLFS_TRY(index_->records(segment, from, kQueuePage));
    if (records.empty()) return {};
    std::vector<Copy> copies;
    for (const index::Record& record : records) {
      auto copied = copy_record(record, copies);
      // A damaged record stays where it is; the others must not stay with it.
      const bool goes_on = copied || copied.error().code == EIO || copied.error().code == ENOENT;
      if (!copied && goes_on) fused_.mark_damaged(segment, copied.error());
      if (!goes_on) {
        static_cast<void>(name_copies(copies));
        return copied;
      }
    }
    SPILLFS_TRY(name_copies(copies));
    from = records.back().offset + 1;
  }
}

Result<> Volume::copy_record(const index::Record& record, std::vector<Copy>& copies) {
  auto found = acquire(record.inode);
  if (!found && found.error().code == ENOENT) return {};
  const VnodeRef vnode = SPILLFS_TRY(std::move(found));
  Location from;
  {
    SharedLock lock(vnode->mutex);
    from = vnode->inode.location;
    if (from.segment != record.segment || from.record_offset != record.offset) return {};
    if (vnode->inode.links == 0 || vnode->dirty) return {};  // it dies or moves by itself
    if (is_doubtful(*vnode)) return {};
  }
  const auto file = SPILLFS_TRY(segments_->open_fused(from.segment, from.directory));
  storage::RecordInfo info = SPILLFS_TRY(read_record(from)).info;
  std::vector<std::byte> data(from.length);
  const std::size_t got = SPILLFS_TRY(file->read(data, from.data_offset));
  if (got != data.size() || chunk_sums(data) != info.sums) {
    return fail(EIO, fmt::format("the record at {} does not match its sums", from.record_offset));
  }
  const std::array payload{Bytes(data)};
  const Location to = SPILLFS_TRY(append_fused(info, payload));
  copied_bytes_ += to.record_length;
  copies.push_back({.vnode = vnode, .from = from, .to = to});
  return {};
}

Result<> Volume::name_copies(const std::vector<Copy>& copies) {
  Result<> first = sync_copies(copies);
  for (const Copy& copy : copies) {
    auto named = first ? name_copy(copy) : Result<bool>(false);
    if (!named || !*named) fused_.abandon(copy.to);
    if (!named && first) first = tl::unexpected(named.error());
  }
  return first;
}

Result<> Volume::sync_copies(const std::vector<Copy>& copies) {
  SegmentId synced = kNoSegment;  // they come in order, a segment after the other
  for (const Copy& copy : copies) {
    if (copy.to.segment == synced) continue;
    SPILLFS_TRY(sync_bytes(copy.to));
    synced = copy.to.segment;
  }
  return {};
}

// False when the file has changed meanwhile.
Result<bool> Volume::name_copy(const Copy& copy) {
  Vnode& vnode = *copy.vnode;
  ExclusiveLock lock(vnode.mutex);
  const Location& now = vnode.inode.location;
  const bool same =
      now.segment == copy.from.segment && now.record_offset == copy.from.record_offset;
  if (!same || !vnode.loaded || vnode.inode.links == 0 || vnode.dirty) return false;
  index::Inode moved = vnode.inode;
  moved.location = copy.to;
  index::Batch batch{.put_inodes = {moved}};
  name_record(copy.to, vnode.id, batch);
  release_location(vnode.inode, batch);
  const auto opened = vnode.fused != nullptr
                          ? segments_->open_fused(copy.to.segment, copy.to.directory)
                          : Result<std::shared_ptr<storage::File>>(nullptr);
  const auto file = SPILLFS_TRY(opened);
  SPILLFS_TRY(index_->commit(batch));
  fused_.commit(copy.to);
  fused_.kill(copy.from);
  vnode.inode = std::move(moved);
  if (file != nullptr) vnode.fused = file;
  return true;
}

}  // namespace spillfs::fs
