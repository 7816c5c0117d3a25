// SPDX-License-Identifier: Apache-2.0
#include "storage/private_segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "storage/segments.h"

namespace spillfs::storage {

PrivateSegment::PrivateSegment(Device& device, std::shared_ptr<File> file, Place place)
    : device_(device), file_(std::move(file)), place_(place) {}

Result<std::unique_ptr<PrivateSegment>> PrivateSegment::start(Device& device,
                                                              std::shared_ptr<File> file,
                                                              Place place,
                                                              std::uint64_t preallocate_step) {
  std::unique_ptr<PrivateSegment> segment(new PrivateSegment(device, std::move(file), place));
  segment->physical_ = SPILLFS_TRY(segment->file_->status()).size;
  segment->step_ = preallocate_step;
  segment->stream_.emplace();
  return segment;
}

Result<std::unique_ptr<PrivateSegment>> PrivateSegment::resume(Device& device,
                                                               std::shared_ptr<File> file,
                                                               Place place, std::uint64_t length) {
  std::unique_ptr<PrivateSegment> segment(new PrivateSegment(device, std::move(file), place));
  segment->physical_ = SPILLFS_TRY(segment->file_->status()).size;
  segment->length_ = length;
  segment->name_synced_ = true;
  if (segment->physical_ >= length) return segment;
  return fail(EIO, fmt::format("private segment {} has {} of its {} bytes", number(place.id),
                               segment->physical_, length));
}

void PrivateSegment::write_directly(Staging& staging, WritePool& pool, InodeId inode) {
  staging_ = &staging;
  inode_ = inode;
  pool_ = &pool;
}

void PrivateSegment::write_cached(WritePool& pool, std::uint64_t window) {
  pool_ = &pool;
  window_ = window;
  write_back_ = std::make_shared<WriteBack>(pool, file_);
}

Result<> PrivateSegment::adopt(StagedFile& staged) {
  const std::uint64_t size = staged.size();
  SPILLFS_TRY(preallocate(size));
  for (Bytes span : staged.spans()) stream_->update(span);
  behind_ = std::make_unique<WriteBehind>(*staging_, *pool_, *file_, StagedPlace{inode_, 0});
  behind_->adopt(std::move(staged));
  length_ = size;
  return {};
}

Result<bool> PrivateSegment::settle() {
  if (behind_ != nullptr) return behind_->finish();
  SPILLFS_TRY(drain());
  return true;
}

// Everything is in the backing file, or what is lost is known.
Result<> PrivateSegment::drain() {
  if (lost_) return tl::unexpected(*lost_);
  if (write_back_ != nullptr) {
    auto good = write_back_->failure();
    if (!good) lost_ = good.error();
    return good;
  }
  if (behind_ == nullptr) return {};
  auto drained = behind_->drain();
  if (!drained) {
    lost_ = drained.error();
    return drained;  // and keeps what did not get there
  }
  behind_.reset();
  physical_ = std::max(physical_, round_up(length_, kDirectAlignment));
  return drained;
}

Result<std::size_t> PrivateSegment::read(MutableBytes into, std::uint64_t offset) {
  if (offset >= length_) return 0;
  // Where bytes were lost there may be another file's.
  if (lost_) return tl::unexpected(*lost_);
  into = into.first(std::min<std::uint64_t>(into.size(), length_ - offset));
  std::vector<WriteBehind::Range> staged;
  if (behind_ != nullptr) staged = SPILLFS_TRY(behind_->read(into, offset));
  std::sort(staged.begin(), staged.end(), [](auto a, auto b) { return a.from < b.from; });
  staged.push_back({.from = into.size(), .to = into.size()});
  std::size_t done = 0;
  for (const WriteBehind::Range& range : staged) {
    const MutableBytes gap = into.subspan(done, range.from - done);
    const std::size_t got = gap.empty() ? 0 : SPILLFS_TRY(file_->read(gap, offset + done));
    if (got != gap.size()) {
      return fail(EIO, fmt::format("private segment {} ends at {}, before its length {}",
                                   number(place_.id), offset + done + got, length_));
    }
    done = range.to;
  }
  return into.size();
}

Result<> PrivateSegment::write(Bytes from, std::uint64_t offset, DiskWait wait) {
  if (from.empty()) return {};
  if (stream_ && offset == length_) return append(from, wait);
  SPILLFS_TRY(stop_streaming());
  const std::uint64_t end = offset + from.size();
  physical_ = std::max(physical_, end);
  SPILLFS_TRY(file_->write(from, offset));
  length_ = std::max(length_, end);
  return {};
}

Result<> PrivateSegment::append(Bytes from, DiskWait wait) {
  const std::uint64_t end = length_ + from.size();
  SPILLFS_TRY(preallocate(end));
  if (!SPILLFS_TRY(append_directly(from, wait))) SPILLFS_TRY(append_cached(from, wait));
  stream_->update(from);
  length_ = end;
  return {};
}

Result<> PrivateSegment::append_cached(Bytes from, DiskWait wait) {
  if (write_back_ != nullptr) {
    auto within = write_back_->keep_within(window_, length_);
    if (!within) lost_ = within.error();
    if (!SPILLFS_TRY(std::move(within)) && wait == DiskWait::kCallAgain && pool_->busy()) {
      return fail(ENOBUFS, "too much is dirty");
    }
  }
  physical_ = std::max(physical_, length_ + from.size());
  return file_->write(from, length_);
}

// False when the bytes have to go through the page cache.
Result<bool> PrivateSegment::append_directly(Bytes from, DiskWait wait) {
  if (lost_) return tl::unexpected(*lost_);
  if (behind_ != nullptr && behind_->finishing()) {  // a seal, and the stream goes on
    const bool done = SPILLFS_TRY(settle());
    if (!done && wait == DiskWait::kCallAgain)
      return fail(ENOBUFS, "the last bytes are on their way");
    SPILLFS_TRY(drain());
  }
  if (behind_ == nullptr && is_direct() && length_ % kDirectAlignment == 0) {
    behind_ =
        std::make_unique<WriteBehind>(*staging_, *pool_, *file_, StagedPlace{inode_, length_});
  }
  if (behind_ == nullptr) return false;
  if (from.size() <= WriteBehind::kBatch) {
    auto taken = behind_->append(from);
    if (taken) return true;
    const bool again = wait == DiskWait::kCallAgain && pool_->busy();
    if (taken.error().code != ENOBUFS || again) return tl::unexpected(taken.error());
  }
  SPILLFS_TRY(drain());
  return false;
}

Result<> PrivateSegment::preallocate(std::uint64_t end) {
  if (step_ == 0 || end <= preallocated_) return {};
  const std::uint64_t from = preallocated_;
  // As much again as there is, up to a step, so that a small file does not hold a large one's
  // space; where there is no room for that, just what is asked for.
  const std::uint64_t ahead = from + std::min(step_, std::max(from, end - from));
  for (std::uint64_t to : {std::max(ahead, end), end}) {
    // A direct write that extends the file is slow.
    const auto mode = is_direct() ? AllocateMode::kExtend : AllocateMode::kKeepSize;
    if (is_direct()) physical_ = std::max(physical_, to);
    auto allocated = file_->allocate(mode, from, to - from);
    if (allocated) {
      preallocated_ = to;
      return {};
    }
    if (allocated.error().code == EOPNOTSUPP) {
      step_ = 0;
      return {};
    }
    const int code = allocated.error().code;
    if ((code != ENOSPC && code != EFBIG) || to == end) return allocated;
  }
  return {};
}

Result<> PrivateSegment::stop_streaming() {
  SPILLFS_TRY(drain());
  // Not without need: a file that was cut to nothing ext4 writes out at its next close.
  if (physical_ > length_ || preallocated_ > length_) {
    SPILLFS_TRY(file_->resize(length_));
    physical_ = length_;
  }
  stream_.reset();
  return {};
}

Result<> PrivateSegment::truncate(std::uint64_t size) {
  if (size == length_) return {};
  SPILLFS_TRY(stop_streaming());
  SPILLFS_TRY(file_->resize(size));
  length_ = physical_ = size;
  if (size == 0) {
    stream_.emplace();
    kept_sums_ = 0;
    preallocated_ = 0;
  }
  return {};
}

Result<> PrivateSegment::allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length) {
  SPILLFS_TRY(stop_streaming());
  const bool grows = mode == AllocateMode::kExtend || mode == AllocateMode::kZero;
  if (grows) physical_ = std::max(physical_, offset + length);
  SPILLFS_TRY(file_->allocate(mode, offset, length));
  if (grows) length_ = std::max(length_, offset + length);
  return {};
}

Result<std::uint64_t> PrivateSegment::seek(SeekKind kind, std::uint64_t offset) {
  if (offset >= length_) return fail(ENXIO, "seek behind the end");
  if (behind_ != nullptr) return kind == SeekKind::kData ? offset : length_;
  const std::uint64_t found = SPILLFS_TRY(file_->seek(kind, offset));
  if (found < length_) return found;
  if (kind == SeekKind::kData) return fail(ENXIO, "no more data");
  return length_;
}

Result<> PrivateSegment::trim() {
  SPILLFS_TRY(drain());
  if (!stream_ && physical_ == length_) return {};
  SPILLFS_TRY(file_->resize(length_));
  physical_ = preallocated_ = length_;
  return {};
}

Result<FileStatus> PrivateSegment::refresh() {
  const FileStatus status = SPILLFS_TRY(file_->status());
  length_ = physical_ = status.size;
  stream_.reset();  // a truncation to nothing may have begun one
  return status;
}

Result<> PrivateSegment::sync() {
  SPILLFS_TRY(file_->sync());
  if (name_synced_) return {};
  SPILLFS_TRY(device_.sync_folder("segments"));
  name_synced_ = true;
  return {};
}

Result<> PrivateSegment::identify(Identity identity) {
  constexpr std::array kNoPlaceForXattrs{EOPNOTSUPP, ENOSPC, EDQUOT, E2BIG, ERANGE};
  const auto is_harmless = [&](const Result<>& set) {
    return !set && std::find(kNoPlaceForXattrs.begin(), kNoPlaceForXattrs.end(),
                             set.error().code) != kNoPlaceForXattrs.end();
  };
  identity.length = length_;
  auto set = file_->set_attribute(kIdentityAttribute, encode_identity(identity));
  if (is_harmless(set) && !identity.path.empty()) {
    identity.path.clear();  // rather no path than the length of an earlier seal
    set = file_->set_attribute(kIdentityAttribute, encode_identity(identity));
  }
  return is_harmless(set) ? Result<>{} : set;
}

Location PrivateSegment::location() const {
  return {.placement = Placement::kPrivate,
          .directory = place_.directory,
          .segment = place_.id,
          .length = length_};
}

Result<std::uint64_t> PrivateSegment::allocated() { return SPILLFS_TRY(file_->status()).allocated; }

std::optional<std::vector<std::uint64_t>> PrivateSegment::sums(std::uint64_t first) const {
  if (!stream_) return std::nullopt;
  return stream_->sums(first);
}

}  // namespace spillfs::storage
