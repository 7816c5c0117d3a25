// SPDX-License-Identifier: Apache-2.0
// A restart: what the worker before this one had open goes on. The table of open files says what
// the kernel and the users of each file know of it, staging has the bytes that are nowhere else.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

// Numbers of backing files that the kernel may have given without a note of it: one a thread.
constexpr int kUnnoted = 64;

// Bytes of a stream that were on their way to the backing file.
Result<> write_left(storage::Staging& staging, std::span<const storage::Staging::Left> left,
                    std::uint64_t size, storage::File& file) {
  for (const auto& block : left) {
    if (block.offset >= size) continue;
    const Bytes bytes = staging.bytes(block);
    const auto length = std::min<std::uint64_t>(bytes.size(), size - block.offset);
    SPILLFS_TRY(file.write(bytes.first(length), block.offset));
  }
  return {};
}

}  // namespace

OpenFile Volume::open_file_of(const Vnode& vnode) {
  return {.inode = vnode.id,
          .size = vnode.size,
          .modified = vnode.modified,
          .changed = vnode.changed,
          .backing_modified = vnode.backing_modified,
          .segment = vnode.segment != nullptr ? vnode.segment->id() : kNoSegment,
          .backing = vnode.backing,
          .dirty = vnode.dirty,
          .writer = vnode.writer};
}

// The next worker will know the file as it is now. What grows is published after the bytes are
// there, what is cut before they go.
void Volume::publish(const Vnode& vnode) {
  note_staged(vnode);
  if (vnode.row) open_files_->update(*vnode.row, open_file_of(vnode));
}

void Volume::note_staged(const Vnode& vnode) {
  staged_files_.note(vnode.id, vnode.inode.uid, vnode.staged != nullptr ? vnode.staged->size() : 0);
}

void Volume::publish_cut(const Vnode& vnode, std::uint64_t size) {
  if (!vnode.row || size >= vnode.size) return;
  OpenFile cut = open_file_of(vnode);
  cut.size = size;
  cut.dirty = true;
  open_files_->update(*vnode.row, cut);
}

Result<> Volume::restore() {
  std::unordered_map<std::uint64_t, std::vector<storage::Staging::Left>> left;
  for (const auto& block : staging_->left()) left[number(block.inode)].push_back(block);
  std::vector<VnodeRef> restored;
  for (const auto& [row, file] : open_files_->files()) {
    auto found = restore_file(row, file, left[number(file.inode)]);
    if (found) {
      restored.push_back(*std::move(found));
    } else {
      spdlog::error("inode {} was open and is lost: {}", number(file.inode),
                    describe(found.error()));
      take_back_stale(file.backing);
      open_files_->remove(row);
    }
  }
  for (const auto& [id, open] : open_files_->handles()) {
    if (open.request == kNoRequest) {  // that process's own, for its control files
      open_files_->remove(id);
      continue;
    }
    if (auto done = restore_handle(id, open); !done) {
      spdlog::error("a handle of inode {} is lost: {}", number(open.inode), describe(done.error()));
      open_files_->remove(id);
    }
  }
  for (const VnodeRef& vnode : restored) settle_restored(vnode);
  staging_->give_back(staging_->left());  // of files that were sealed or are gone
  for (int i = 1; i <= kUnnoted; ++i) take_back_stale(open_files_->highest_backing() + i);
  return {};
}

Result<VnodeRef> Volume::restore_file(OpenFiles::FileRow row, const OpenFile& file,
                                      std::span<const storage::Staging::Left> left) {
  VnodeRef vnode = SPILLFS_TRY(acquire(file.inode));
  ExclusiveLock lock(vnode->mutex);
  vnode->row = row;
  vnode->writer = file.writer;
  vnode->backing = std::max(file.backing, 0);
  vnode->backing_modified = file.backing_modified;
  if (file.backing < 0) take_back_stale(-file.backing);
  if (file.dirty) {
    if (auto done = restore_bytes(*vnode, file, left); !done) {
      spdlog::error("inode {} falls back to its last seal: {}", number(vnode->id),
                    describe(done.error()));
      MutexLock reclaim(reclaim_mutex_);
      reverted_.insert(number(vnode->id));
    }
  }
  if (auto opened = open_content(*vnode); !opened) {
    spdlog::error("inode {}: {}", number(vnode->id), describe(opened.error()));
  }
  return vnode;
}

// Gives the Vnode, which is as the index has it, the bytes that were not sealed.
Result<> Volume::restore_bytes(Vnode& vnode, const OpenFile& file,
                               std::span<const storage::Staging::Left> left) {
  std::uint64_t size = file.size;
  if (file.segment != kNoSegment) {
    size = SPILLFS_TRY(restore_segment(vnode, file, left));
  } else if (size != 0) {
    if (left.empty()) return {};  // it was sealed just before
    vnode.staged = std::make_unique<storage::StagedFile>(SPILLFS_TRY(
        storage::StagedFile::resume(*staging_, {vnode.id, 0}, {left.begin(), left.end()}, size)));
  }
  vnode.size = size;
  vnode.modified = file.modified;
  vnode.changed = std::max(file.changed, vnode.changed);
  vnode.dirty = true;
  if (vnode.segment != nullptr) {
    settle_private(vnode);
  } else {
    settle_charge(vnode, round_up(size, kDiskBlock));
  }
  publish(vnode);
  return {};
}

// Its length: what was published, or what there is of it.
Result<std::uint64_t> Volume::restore_segment(Vnode& vnode, const OpenFile& file,
                                              std::span<const storage::Staging::Left> left) {
  const DirectoryId directory = SPILLFS_TRY(index_->segment(file.segment)).directory;
  const auto found = SPILLFS_TRY(segments_->open_private(file.segment, directory, 0));
  SPILLFS_TRY(write_left(*staging_, left, file.size, *found->file()));
  const std::uint64_t physical = SPILLFS_TRY(found->file()->status()).size;
  if (physical < file.size) {
    spdlog::error("segment {} of inode {} has {} of its {} bytes",
                  storage::segment_name(SegmentKind::kPrivate, file.segment), number(vnode.id),
                  physical, file.size);
  }
  const std::uint64_t size = std::min(physical, file.size);
  // What a stream had set aside behind its end goes; the kernel may write to what it was lent.
  if (file.backing == 0) SPILLFS_TRY(found->file()->resize(size));
  vnode.segment = SPILLFS_TRY(segments_->open_private(file.segment, directory, size));
  const auto opening =
      SPILLFS_TRY(if_any(index_->queued(index::QueueKind::kOpening, number(file.segment))));
  vnode.opening = opening.has_value();
  return size;
}

Result<> Volume::restore_handle(HandleId id, const OpenHandle& open) {
  const VnodeRef vnode = SPILLFS_TRY(acquire(open.inode));
  ExclusiveLock lock(vnode->mutex);
  if (!vnode->row) return fail(EIO, "its file is not known");
  count_open(vnode, open.flags, open.mode);
  handle_shares_.restore(open.opener);
  MutexLock handles(handles_mutex_);
  handles_.emplace(
      static_cast<std::uint64_t>(id),
      Handle{.vnode = vnode, .flags = open.flags, .mode = open.mode, .opener = open.opener});
  restored_[number(open.request)] = id;
  return {};
}

// Once its handles are known: what the last of them had left to do is done.
void Volume::settle_restored(const VnodeRef& vnode) {
  ExclusiveLock lock(vnode->mutex);
  if (auto caught = catch_up(*vnode); !caught) {
    spdlog::error("inode {}: {}", number(vnode->id), describe(caught.error()));
  }
  if (vnode->passthroughs == 0 && vnode->backing != 0) {
    take_back_stale(std::exchange(vnode->backing, 0));
  }
  if (vnode->opens != 0) return publish(*vnode);
  if (auto sealed = seal(*vnode); !sealed) {
    spdlog::error("inode {} falls back to its last seal: {}", number(vnode->id),
                  describe(sealed.error()));
    revert(*vnode);
  }
  if (vnode->inode.links == 0) orphaned(vnode);  // with what it is charged for by now
  close_row(*vnode);
}

// Before its row forgets it: who dies in between leaves it to the next. A number twice harms
// nothing, as the kernel takes a new one each time.
void Volume::take_back_stale(int id) {
  if (take_back_ && id != 0) take_back_(std::abs(id));
}

// The handle that a request which is sent again was given the first time.
std::optional<Opened> Volume::opened_before(RequestId request) {
  HandleId id{};
  Handle open;
  {
    MutexLock lock(handles_mutex_);
    const auto found = restored_.extract(number(request));
    if (found.empty()) return std::nullopt;
    id = found.mapped();
    const auto handle = handles_.find(static_cast<std::uint64_t>(id));
    if (handle == handles_.end()) return std::nullopt;
    open = handle->second;  // not by handle(): the kernel has not used it
  }
  SharedLock lock(open.vnode->mutex);
  return opened_as(*open.vnode, id, open);
}

}  // namespace spillfs::fs
