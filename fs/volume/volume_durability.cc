// SPDX-License-Identifier: Apache-2.0
// What reaches the disk, and when: single files for who asks, everything from time to time. What
// the index then knows of it: docs/ARCHITECTURE.md, "After a loss of power".
#include <spdlog/spdlog.h>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

// The index would name bytes that it does not name yet.
bool has_new_bytes(const Location& before, const Location& sealed) {
  if (sealed.placement == Placement::kNowhere) return false;
  return before.placement != sealed.placement || before.segment != sealed.segment ||
         before.record_offset != sealed.record_offset || before.length < sealed.length;
}

}  // namespace

// Says in which epoch it was sealed; its bytes are written. Of a file that is on disk other bytes
// get there before the index names them, so that the power can't take it back behind its last sync.
Result<> Volume::stamp(Vnode& vnode, index::Inode& sealed) {
  if (vnode.unsealed || !epochs_.on_disk(vnode.inode.sealed_in)) {
    sealed.sealed_in = epochs_.now();
    unsynced_ = true;  // behind now(): a full sync that began before it does not take it away
    return {};
  }
  if (!has_new_bytes(vnode.inode.location, sealed.location)) {
    unsynced_ = true;  // it may have been changed in place
    return {};
  }
  return sync_bytes(sealed.location);
}

// The bytes survive power loss.
Result<> Volume::sync_bytes(const Location& location) {
  if (location.placement == Placement::kNowhere) return {};
  const std::string path = storage::segment_path(location);
  const auto file = SPILLFS_TRY(segments_->device(location.directory).open(path));
  SPILLFS_TRY(file->sync());
  return segments_->sync_directory(location.directory);
}

bool Volume::closes_slowly(HandleId id) {
  const auto open = handle(id);
  if (!open || !may_write(open->flags)) return false;
  Vnode& vnode = *open->vnode;
  SharedLock lock(vnode.mutex);
  const bool has_changed = vnode.dirty || vnode.passthrough_writers != 0;
  return has_changed && !vnode.unsealed && epochs_.on_disk(vnode.inode.sealed_in);
}

bool Volume::syncs_close(HandleId id) {
  if (!options_.sync_closes) return false;
  const auto open = handle(id);
  return open && may_write(open->flags);
}

Result<Syncer::Request> Volume::sync_request(HandleId id) {
  const Handle open = SPILLFS_TRY(handle(id));
  Vnode& vnode = *open.vnode;
  ExclusiveLock lock(vnode.mutex);
  SPILLFS_TRY(catch_up(vnode));
  SPILLFS_TRY(seal(vnode));
  SPILLFS_TRY(open_content(vnode));
  Syncer::Request request;
  if (vnode.segment != nullptr) {
    request.file = vnode.segment->file();
    request.location = vnode.segment->location();
  } else if (vnode.fused != nullptr) {
    request.file = vnode.fused;
    request.location = vnode.inode.location;
  }
  request.then = [this, vnode = open.vnode, location = vnode.inode.location,
                  epoch = vnode.inode.sealed_in] { return note_on_disk(*vnode, location, epoch); };
  return request;
}

// What the inode was sealed with is on disk. Where it has been sealed with something else since,
// that has to follow: the power must not take both.
Result<> Volume::note_on_disk(Vnode& vnode, const Location& location, index::Epoch sealed_in) {
  ExclusiveLock lock(vnode.mutex);
  if (!vnode.loaded || vnode.unsealed || vnode.inode.links == 0) return {};
  if (vnode.inode.sealed_in == index::kOnDisk) return {};
  const bool same = vnode.inode.location == location && vnode.inode.sealed_in == sealed_in;
  if (!same) SPILLFS_TRY(sync_bytes(vnode.inode.location));
  index::Inode after = vnode.inode;
  after.sealed_in = index::kOnDisk;
  SPILLFS_TRY(index_->commit({.put_inodes = {after}}));
  vnode.inode = std::move(after);
  return {};
}

void Volume::make_durable(HandleId id, Syncer::Done done) {
  auto request = sync_request(id);
  if (!request) return done(tl::unexpected(request.error()));
  request->done = std::move(done);
  syncer_.add(*std::move(request));
}

void Volume::make_names_durable(Syncer::Done done) {
  syncer_.add({.file = nullptr, .location = {}, .then = {}, .done = std::move(done)});
}

void Volume::finish_syncs() { syncer_.drain(); }

Result<> Volume::fsync(HandleId id) { return syncer_.run(SPILLFS_TRY(sync_request(id))); }

Result<> Volume::fsync_directory(InodeId id) {
  SPILLFS_TRY(acquire_directory(id));
  return syncer_.run({});
}

Result<> Volume::sync_devices() {
  for (DirectoryId directory : segments_->directories()) {
    SPILLFS_TRY(segments_->device(directory).sync_all());
  }
  return {};
}

Result<> Volume::sync_all() {
  MutexLock run(sync_run_);
  if (!sync_failed_ && unsynced_.exchange(false)) {
    auto ended = end_epoch();
    if (!ended) unsynced_ = true;
    if (!ended) return ended;
  }
  return index_->sync();
}

Result<> Volume::sync_everything() {
  Result<> sealed;
  for (const VnodeRef& vnode : vnodes_->all()) {
    auto done = seal_open(*vnode);
    if (!done && sealed) sealed = std::move(done);
  }
  // A mapping of a lent file changes its bytes, and no seal says so.
  unsynced_ = true;
  SPILLFS_TRY(sync_all());
  MutexLock run(sync_run_);
  if (sync_failed_) {
    return fail(EIO, "an earlier sync failed, and the disk may have lost what was written before");
  }
  return sealed;
}

Result<> Volume::seal_open(Vnode& vnode) {
  ExclusiveLock lock(vnode.mutex);
  if (!vnode.loaded || vnode.opens == 0 || vnode.inode.links == 0) return {};
  SPILLFS_TRY(catch_up(vnode));
  return seal(vnode);
}

// What was sealed in it had been written before.
Result<> Volume::end_epoch() {
  const index::Epoch ended = epochs_.now();
  SPILLFS_TRY(index_->commit({.put_sync_mark = epochs_.next()}));
  epochs_.advance();
  if (auto synced = sync_devices(); !synced) {
    // The next try would succeed without those bytes: the kernel has dropped them.
    sync_failed_ = true;
    return synced;
  }
  epochs_.finish(ended);
  return index_->commit({.put_sync_mark = epochs_.mark()});
}

// Nothing is sealed any more: the epoch that would come next need not begin.
Result<> Volume::sync_at_end() {
  MutexLock run(sync_run_);
  if (!epochs_.started()) return {};  // the start failed: the mark is an earlier mount's
  if (sync_failed_) return index_->sync();
  if (unsynced_.exchange(false)) SPILLFS_TRY(sync_devices());
  epochs_.finish(epochs_.now());
  SPILLFS_TRY(index_->commit({.put_sync_mark = epochs_.mark()}));
  return index_->sync();
}

void Volume::sync_loop(const std::stop_token& stop) {
  for (;;) {
    {
      MutexLock lock(sync_wait_mutex_);
      if (stop.stop_requested()) return;
      const auto waited = sync_wanted_.wait_for(sync_wait_mutex_, options_.sync_every);
      if (waited != std::cv_status::timeout) continue;  // stop_syncing()
    }
    if (auto synced = sync_all(); !synced) {
      spdlog::error("sync: {}; what was closed since the last one may go with the power",
                    describe(synced.error()));
    }
  }
}

void Volume::start_syncing() {
  if (options_.sync_every.count() > 0) {
    syncing_ = std::jthread([this](const std::stop_token& stop) { sync_loop(stop); });
  }
  if (!epochs_.any_doubtful()) return;
  if (options_.reclaim_in_background || options_.read_only) prover_.start();
  if (options_.reclaim_in_background && !options_.read_only) {
    proving_ = std::jthread([this](const std::stop_token& stop) { prove_in_background(stop); });
  }
}

void Volume::stop_syncing() {
  syncing_.request_stop();
  {
    MutexLock lock(sync_wait_mutex_);
    sync_wanted_.notify_all();
  }
  if (syncing_.joinable()) syncing_.join();
  prover_.stop();
  if (proving_.joinable()) {
    proving_.request_stop();
    proving_.join();
  }
}

}  // namespace spillfs::fs
