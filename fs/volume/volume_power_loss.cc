// SPDX-License-Identifier: Apache-2.0
// After a loss of power: what was sealed and not synced is compared with its sums before anyone
// opens it, and by and by in the background. A file that is not whole goes.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <unordered_set>

#include "fs/system/background_priority.h"
#include "fs/volume/accounts/byte_pace.h"
#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"
#include "storage/base/checksum.h"
#include "storage/base/escaped.h"
#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kDoubtfulPage = 1000;
constexpr std::uint64_t kNobodysNumbers = std::uint64_t{1} << 62;  // no store gets that far

constexpr const char* kAsk =
    "nothing tells whether the machine was booted since this store was last mounted, and not all "
    "of "
    "it was on disk then: mount with -o boot=same if it was not (every file stays as it is), or "
    "with -o boot=new if it was, or lost its power (files that were not on disk are compared with "
    "their sums, and go where they are not whole)";

}  // namespace

Result<> Volume::recover_epochs() {
  const index::SyncMark found = SPILLFS_TRY(index_->sync_mark());
  const bool unsynced = found.epoch > found.synced;  // by a process that was killed
  // A process that takes a mount over is of the same boot; but of a read-only one the mark is that
  // of an earlier mount still.
  const bool goes_on = start_ == Start::kRestart && !options_.read_only;
  const auto booted = goes_on ? BootedSince::kNo : booted_since(found, options_.boot);
  if (booted == BootedSince::kUnknown && unsynced) return fail(EBADMSG, kAsk);
  epochs_.start(found, options_.boot, booted);
  unsynced_ = unsynced;
  if (options_.read_only) return index_->commit({.put_sync_mark = epochs_.mark()});
  if (booted == BootedSince::kYes) {
    if (auto removed = remove_strays(); !removed) {
      spdlog::warn("segments of nobody: {}", describe(removed.error()));
    }
  }
  // An index without a mark may have lost it with other rows.
  const std::string& boot = options_.boot.boot.id;
  const bool may_have_booted = booted != BootedSince::kNo || boot.empty() || found.boot != boot;
  if (may_have_booted) SPILLFS_TRY(leave_numbers_in_use());
  return index_->commit({.put_sync_mark = epochs_.mark()});
}

// Segments whose rows did not reach the disk.
Result<> Volume::remove_strays() {
  std::unordered_set<std::uint64_t> spared;
  SPILLFS_TRY(for_each_queued(*index_, index::QueueKind::kSpared, [&](const auto& entry) {
    spared.insert(entry.id);
    return Result<>();
  }));
  for (DirectoryId directory : segments_->directories()) {
    for (const storage::FoundSegment& file : SPILLFS_TRY(segments_->list(directory))) {
      if (spared.contains(number(file.id))) continue;
      if (SPILLFS_TRY(if_any(index_->segment(file.id)))) continue;
      spdlog::debug("segment {} is nobody's", number(file.id));
      SPILLFS_TRY(segments_->remove(file.kind, file.id, directory));
    }
  }
  return {};
}

// No new segment gets the number of one that the index has forgotten and that could not be removed.
Result<> Volume::leave_numbers_in_use() {
  std::uint64_t highest = 0;
  for (DirectoryId directory : segments_->directories()) {
    const auto found = segments_->list(directory);
    if (!found) spdlog::warn("data directory {}: {}", number(directory), describe(found.error()));
    if (!found) continue;
    for (const auto& [kind, id] : *found) {
      if (number(id) < kNobodysNumbers) highest = std::max(highest, number(id));
    }
  }
  return index::reserve_up_to(*index_, index::Counter::kSegment, highest);
}

bool Volume::is_doubtful(InodeId id) {
  if (!epochs_.any_doubtful()) return false;
  const auto vnode = acquire(id);
  if (!vnode) return false;
  SharedLock lock((*vnode)->mutex);
  return is_doubtful(**vnode);
}

bool Volume::is_doubtful(const Vnode& vnode) {
  return S_ISREG(vnode.inode.mode) && vnode.inode.links != 0 && !vnode.unsealed &&
         epochs_.is_doubtful(vnode.inode.sealed_in);
}

// Whether it has to be compared; ENOENT when the power took its bytes: then it is gone.
Result<bool> Volume::needs_proof(Vnode& vnode) {
  if (!epochs_.had_doubtful()) return false;
  SharedLock lock(vnode.mutex);
  // Another thread may have taken its name since the caller looked it up.
  const bool was_lost = vnode.inode.links == 0 && epochs_.was_doubtful(vnode.inode.sealed_in);
  if (was_lost) return fail(ENOENT, "the power took it");
  return is_doubtful(vnode);
}

// For calls that can't wait. In a mount the Prover compares files, and requests wait for it.
Result<> Volume::prove(const VnodeRef& vnode) {
  if (!SPILLFS_TRY(needs_proof(*vnode))) return {};
  if (prover_.started()) {
    return fail(EAGAIN, "its bytes are being compared with their sums after the loss of power");
  }
  return prove_at_once(vnode, [](std::uint64_t) { return true; });
}

// Reads the bytes without the inode's lock. ECANCELED when `pace` says to stop.
Result<> Volume::prove_at_once(const VnodeRef& vnode, const Pace& pace) {
  auto proof = SPILLFS_TRY(begin_proof(vnode));
  while (proof != nullptr && SPILLFS_TRY(needs_proof(*vnode))) {
    const auto verdict = SPILLFS_TRY(proof->step(kChunk));
    if (verdict != ByteProof::Verdict::kGoesOn) return settle_proof(vnode, *proof, verdict);
    if (!pace(proof->bytes_read())) return fail(ECANCELED, "the mount ends");
  }
  return {};
}

Result<std::unique_ptr<ByteProof>> Volume::begin_proof(const VnodeRef& vnode) {
  if (!SPILLFS_TRY(needs_proof(*vnode))) return nullptr;
  SharedLock lock(vnode->mutex);
  return std::make_unique<ByteProof>(vnode->inode, *index_, *segments_);
}

Result<> Volume::settle_proof(const VnodeRef& vnode, const ByteProof& proof,
                              ByteProof::Verdict verdict) {
  const index::Inode& inode = proof.inode();
  if (verdict == ByteProof::Verdict::kLost) return drop_lost(vnode);
  return note_on_disk(*vnode, inode.location, inode.sealed_in);
}

class Volume::LostFiles : public DoubtfulFiles {
 public:
  explicit LostFiles(Volume& volume) : volume_(volume) {}
  Result<std::unique_ptr<ByteProof>> begin(InodeId id) override {
    return volume_.begin_proof(SPILLFS_TRY(volume_.acquire(id)));
  }
  bool is_doubtful(InodeId id) override { return volume_.is_doubtful(id); }
  Result<> settle(const ByteProof& proof, ByteProof::Verdict verdict) override {
    const VnodeRef vnode = SPILLFS_TRY(volume_.acquire(proof.inode().id));
    return volume_.settle_proof(vnode, proof, verdict);
  }

 private:
  Volume& volume_;
};

std::unique_ptr<DoubtfulFiles> Volume::lost_files() { return std::make_unique<LostFiles>(*this); }

void Volume::prove_first(InodeId id, uid_t user, const Prover::Done& done) {
  if (!is_doubtful(id)) return done({});
  prover_.ask(id, user, done);
}

void Volume::finish_proofs() { prover_.stop(); }

Result<> Volume::drop_lost(const VnodeRef& vnode) {
  index::Inode inode;
  {
    SharedLock lock(vnode->mutex);
    if (vnode->inode.links == 0) return fail(ENOENT, "the power took it");
    if (!is_doubtful(*vnode)) return {};  // another thread was faster
    inode = vnode->inode;
  }
  const std::string path = SPILLFS_TRY(path_of(inode));
  if (!path.empty()) {
    SPILLFS_TRY(remove(inode.parent, inode.text, Removal::kFile, kNoRequest,
                       Unused{.inode = inode.id, .latest = std::nullopt}));
    spdlog::warn("'{}' is gone: the power went before it had been synced", escaped(path));
  }
  SharedLock lock(vnode->mutex);
  if (vnode->inode.links != 0) return fail(EIO, "the power took its bytes");
  return fail(ENOENT, "the power took it");
}

Result<> Volume::prove_all() {
  return prove_all([](std::uint64_t) { return true; });
}

Result<> Volume::prove_all(const Pace& pace) {
  bool all = epochs_.any_doubtful();
  InodeId after{0};
  while (epochs_.any_doubtful()) {
    const auto page = SPILLFS_TRY(index_->inodes(after, kDoubtfulPage));
    if (page.empty()) break;
    for (const index::Inode& inode : page) {
      if (!S_ISREG(inode.mode) || !epochs_.is_doubtful(inode.sealed_in)) continue;
      const auto found = acquire(inode.id);
      const auto proven = found ? prove_at_once(*found, pace) : Result<>();
      if (proven || proven.error().code == ENOENT) continue;
      if (proven.error().code == ECANCELED) return {};
      all = false;
      spdlog::error("inode {} is still doubtful: {}", number(inode.id), describe(proven.error()));
    }
    if (!pace(0)) return {};
    after = page.back().id;
  }
  if (!all) return {};
  epochs_.clear_doubtful();
  return index_->commit({.put_sync_mark = epochs_.mark()});
}

void Volume::prove_in_background(const std::stop_token& stop) {
  read_when_idle();
  BytePace pace;
  const auto proven = prove_all([&](std::uint64_t bytes) {
    const auto now = BytePace::Clock::now();
    const auto due = pace.after(bytes, options_.checksum_rate, now);
    pause(std::chrono::ceil<std::chrono::milliseconds>(due - now), stop);
    return !stop.stop_requested();
  });
  if (!proven) spdlog::error("after the loss of power: {}", describe(proven.error()));
}

}  // namespace spillfs::fs
