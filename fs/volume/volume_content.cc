// SPDX-License-Identifier: Apache-2.0
// Where a file's bytes are: opening them, moving them to a private segment, reading and verifying.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kEvictionTries = 8;  // others may hold those that come first

}  // namespace

Result<> Volume::open_content(Vnode& vnode) {
  if (vnode.staged != nullptr || vnode.segment != nullptr || vnode.fused != nullptr) return {};
  const Location& location = vnode.inode.location;
  if (location.placement == Placement::kPrivate) {
    vnode.segment =
        SPILLFS_TRY(segments_->open_private(location.segment, location.directory, location.length));
  } else if (location.placement == Placement::kFused && vnode.size != 0) {
    vnode.fused = SPILLFS_TRY(segments_->open_fused(location.segment, location.directory));
  }
  return {};
}

// The counterpart of open_content(), when nobody needs the bytes at hand.
void Volume::close_idle_content(Vnode& vnode) {
  if (vnode.opens > 0 || vnode.dirty || vnode.inode.links == 0) return;
  vnode.segment.reset();
  vnode.fused.reset();
}

// Copy, batch, change: the bytes get a private segment, and where the index already names them it
// names the copy before anything changes it.
Result<> Volume::make_private(Vnode& vnode, Purpose purpose) {
  SPILLFS_TRY(open_content(vnode));
  if (vnode.segment != nullptr) return {};
  std::shared_ptr<storage::PrivateSegment> segment = SPILLFS_TRY(new_private(vnode, purpose));
  const bool copied_up = vnode.fused != nullptr;
  // In staging a byte has one place: what does not move as it is goes through the page cache.
  const bool moves =
      vnode.staged == nullptr || vnode.staged->size() <= storage::WriteBehind::kBatch;
  const bool direct = writes_directly(vnode, purpose);
  if (direct && moves) segment->write_directly(*staging_, write_pool_, vnode.id);
  if (auto copied = copy_to_private(vnode, *segment); !copied) {
    discard(segment->id());
    return tl::unexpected(no_space(copied.error()));
  }
  if (direct && !moves) segment->write_directly(*staging_, write_pool_, vnode.id);
  if (!direct && purpose == Purpose::kWrite && options_.write_behind != 0) {
    segment->write_cached(write_pool_, options_.write_behind);
  }
  ++(direct ? direct_files_ : purpose == Purpose::kLend ? passthrough_files_ : cached_files_);
  vnode.segment = std::move(segment);
  vnode.opening = true;
  vnode.dirty = true;
  publish(vnode);  // before its bytes leave staging
  vnode.staged.reset();
  note_staged(vnode);
  vnode.fused.reset();
  settle_private(vnode);
  return copied_up ? seal(vnode) : Result<>{};
}

Result<std::shared_ptr<storage::PrivateSegment>> Volume::new_private(Vnode& vnode,
                                                                     Purpose purpose) {
  const auto blocks =
      purpose == Purpose::kLend ? storage::Blocks::kFresh : storage::Blocks::kMayRecycle;
  for (;;) {
    const auto directory = segments_->choose_directory();
    if (!directory) return tl::unexpected(no_space(directory.error()));
    const SegmentId id{SPILLFS_TRY(numbers_.next(index::Counter::kSegment))};
    SPILLFS_TRY(index_->commit({.put_segments = {{.id = id,
                                                  .kind = SegmentKind::kPrivate,
                                                  .directory = *directory,
                                                  .inode = vnode.id}},
                                .put_queue = {{index::QueueKind::kOpening, number(id)}}}));
    auto made = segments_->create_private(id, *directory, vnode.id, blocks);
    if (made) {
      return std::shared_ptr<storage::PrivateSegment>(std::move(*made));
    }
    discard(id);
    if (!segments_->report_failure(*directory, made.error())) {
      return tl::unexpected(no_space(made.error()));
    }
  }
}

bool Volume::writes_directly(const Vnode& vnode, Purpose purpose) {
  return purpose == Purpose::kWrite && vnode.fused == nullptr && options_.write_directly &&
         options_.write_directly(vnode.writer);
}

// A segment no inode names yet goes.
void Volume::discard(SegmentId id) {
  const auto dropped = index_->commit({.put_queue = {{index::QueueKind::kDead, number(id)}},
                                       .erase_queue = {{index::QueueKind::kOpening, number(id)}}});
  if (!dropped) spdlog::warn("segment {} goes at the next start", number(id));
  kick_reclaim();
}

Result<> Volume::copy_to_private(Vnode& vnode, storage::PrivateSegment& to) {
  if (vnode.staged != nullptr && to.is_direct() &&
      vnode.staged->size() <= storage::WriteBehind::kBatch) {
    return to.adopt(*vnode.staged);
  }
  if (vnode.staged != nullptr) {
    for (Bytes span : vnode.staged->spans()) SPILLFS_TRY(to.write(span, to.length()));
    return {};
  }
  if (vnode.fused == nullptr) return {};
  std::vector<std::byte> buffer(std::min<std::uint64_t>(vnode.size, kChunk));
  while (to.length() < vnode.size) {
    const auto step = std::min<std::uint64_t>(buffer.size(), vnode.size - to.length());
    const MutableBytes part = MutableBytes(buffer).first(step);
    SPILLFS_TRY(read_content(vnode, part, to.length()));
    SPILLFS_TRY(to.write(part, to.length()));
  }
  return {};
}

// A crash between a change and its new sums must not leave sums, nor a length, of bytes that are
// gone. Of the sealed bytes those before `keeps` stay.
Result<> Volume::before_change_in_place(Vnode& vnode, std::uint64_t keeps) {
  ++vnode.changes_in_place;
  index::Inode after = vnode.inode;
  const bool cuts = keeps < after.size && after.location.placement == Placement::kPrivate;
  if (!after.sums_valid && !cuts) return {};
  after.sums_valid = false;
  if (cuts) after.size = after.location.length = keeps;
  SPILLFS_TRY(index_->commit({.put_inodes = {after}}));
  vnode.inode = std::move(after);
  return index_->sync();
}

// Moves the largest staged file of the user with most of the arena to a private segment; false when
// none can move now. `keep` is the caller's own, whose lock it holds; others are only tried, so
// that no two wait for each other.
bool Volume::evict_largest(const Vnode& keep) {
  for (InodeId id : staged_files_.largest(kEvictionTries)) {
    if (id == keep.id) continue;
    const VnodeRef vnode = vnodes_->get(id);
    if (!vnode->mutex.try_lock()) continue;
    const bool moved =
        vnode->staged != nullptr && make_private(*vnode, Purpose::kEvict).has_value();
    if (vnode->staged == nullptr) staged_files_.note(id, vnode->inode.uid, 0);
    vnode->mutex.unlock();
    if (moved) return true;
  }
  return false;
}

// The charge of a private segment after an operation: what a stream will take once it is trimmed,
// or the blocks it has.
void Volume::settle_private(Vnode& vnode) {
  std::uint64_t charge = round_up(vnode.segment->length(), kDiskBlock);
  if (!vnode.segment->streaming()) {
    if (auto allocated = vnode.segment->allocated()) charge = *allocated;
  }
  settle_charge(vnode, charge);
}

void Volume::forget_sums(Vnode& vnode) {
  MutexLock lock(vnode.sums_mutex);
  vnode.sums.reset();
  vnode.verified.clear();
}

Result<> Volume::read_content(Vnode& vnode, MutableBytes into, std::uint64_t offset) {
  if (vnode.staged != nullptr) {
    if (vnode.staged->read(into, offset) == into.size()) return {};
    return fail(EIO, "staged bytes are missing");
  }
  if (vnode.segment == nullptr && vnode.fused == nullptr) return fail(EIO, "bytes without a place");
  const bool summed =
      vnode.fused != nullptr || (!vnode.dirty && vnode.inode.sums_valid && !vnode.unsealed);
  return summed ? read_verified(vnode, into, offset) : read_sealed(vnode, into, offset);
}

Result<> Volume::read_sealed(Vnode& vnode, MutableBytes into, std::uint64_t offset) {
  const Location location =
      vnode.segment != nullptr ? vnode.segment->location() : vnode.inode.location;
  const auto got = vnode.segment != nullptr
                       ? vnode.segment->read(into, offset)
                       : vnode.fused->read(into, location.data_offset + offset);
  if (!got) {
    // What can't be read should get no more to keep.
    segments_->report_failure(location.directory, got.error());
    return tl::unexpected(got.error());
  }
  if (*got == into.size()) return {};
  spdlog::error("segment {} ends early: inode {} needs {} bytes at {}",
                storage::segment_name(location), number(vnode.id), into.size(), offset);
  return fail(EIO, "the segment is truncated");
}

// Chunks that have not been compared with their sums since the last change are read whole and
// compared; the others are trusted.
Result<> Volume::read_verified(Vnode& vnode, MutableBytes into, std::uint64_t offset) {
  std::vector<std::byte> chunk;
  while (!into.empty()) {
    const std::uint64_t number_of_chunk = offset / kChunk;
    const std::uint64_t start = number_of_chunk * kChunk;
    const std::uint64_t length = std::min(kChunk, vnode.size - start);
    const std::size_t part = std::min<std::uint64_t>(into.size(), start + length - offset);
    bool known = false;
    std::uint64_t sum = 0;
    {
      MutexLock lock(vnode.sums_mutex);
      if (!vnode.sums) {
        vnode.sums = SPILLFS_TRY(read_sums(vnode));
        vnode.verified.assign(vnode.sums->size(), false);
      }
      known = vnode.verified.at(number_of_chunk);
      sum = vnode.sums->at(number_of_chunk);
    }
    if (known) {
      SPILLFS_TRY(read_sealed(vnode, into.first(part), offset));
    } else {
      const bool in_place = part == length;
      if (!in_place) chunk.resize(length);
      const MutableBytes whole = in_place ? into.first(part) : MutableBytes(chunk);
      SPILLFS_TRY(read_sealed(vnode, whole, start));
      if (xxh3(whole) != sum) {
        const Location& location = vnode.inode.location;
        spdlog::error("segment {} is damaged at {}: the bytes of inode {} do not match their sum",
                      storage::segment_name(location), location.data_offset + start,
                      number(vnode.id));
        return fail(EIO, "checksum mismatch");
      }
      if (!in_place) {
        std::copy_n(chunk.begin() + static_cast<std::ptrdiff_t>(offset - start), part,
                    into.begin());
      }
      MutexLock lock(vnode.sums_mutex);
      if (number_of_chunk < vnode.verified.size()) vnode.verified[number_of_chunk] = true;
    }
    into = into.subspan(part);
    offset += part;
  }
  return {};
}

// As many sums as the sealed bytes have chunks, or EIO.
Result<std::vector<std::uint64_t>> Volume::read_sums(Vnode& vnode) {
  const Location& location = vnode.inode.location;
  const std::size_t wanted = chunk_count(location.length);
  std::vector<std::uint64_t> sums;
  if (location.placement == Placement::kFused) {
    sums = SPILLFS_TRY(read_record(location)).info.sums;
  } else {
    sums = SPILLFS_TRY(index_->sums(location.segment, 0, wanted));
  }
  if (sums.size() != wanted) {
    spdlog::error("segment {}: {} sums for {} chunks", number(location.segment), sums.size(),
                  wanted);
    return fail(EIO, "sums are missing");
  }
  return sums;
}

Result<storage::DecodedRecord> Volume::read_record(const Location& location) {
  const auto file = SPILLFS_TRY(segments_->open_fused(location.segment, location.directory));
  std::vector<std::byte> prefix(location.data_offset - location.record_offset);
  const std::size_t got = SPILLFS_TRY(file->read(prefix, location.record_offset));
  auto record = got == prefix.size()
                    ? storage::decode_record_header(prefix)
                    : Result<storage::DecodedRecord>(fail(EIO, "the segment is truncated"));
  if (!record) {
    spdlog::error("segment {} is damaged at {}: {}", number(location.segment),
                  location.record_offset, describe(record.error()));
  }
  return record;
}

}  // namespace spillfs::fs
