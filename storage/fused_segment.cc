// SPDX-License-Identifier: Apache-2.0
#include "storage/fused_segment.h"

#include "storage/segments.h"

namespace spillfs::storage {
namespace {

constexpr std::array<std::byte, kRecordAlignment> kZeros{};

}  // namespace

FusedSegment::FusedSegment(Device& device, std::shared_ptr<File> file, SegmentId id,
                           DirectoryId directory, std::uint64_t capacity)
    : device_(device),
      file_(std::move(file)),
      id_(id),
      directory_(directory),
      capacity_(capacity) {}

Result<std::shared_ptr<FusedSegment>> FusedSegment::create(Device& device, const StoreId& store,
                                                           SegmentId id, DirectoryId directory,
                                                           std::uint64_t capacity) {
  const std::string path = segment_path(SegmentKind::kFused, id);
  auto file = SPILLFS_TRY(device.create(path));
  std::shared_ptr<FusedSegment> segment(
      new FusedSegment(device, std::move(file), id, directory, capacity));
  if (auto started = segment->start(store); !started) {
    static_cast<void>(device.remove(path));  // the first error is the one to tell
    return tl::unexpected(started.error());
  }
  return segment;
}

Result<> FusedSegment::start(const StoreId& store) {
  SPILLFS_TRY(file_->write(encode_superblock(store, id_), 0));
  // Without room for it the segment still grows as far as there is.
  if (!file_->allocate(AllocateMode::kKeepSize, 0, capacity_)) return {};
  MutexLock lock(mutex_);
  preallocated_ = capacity_;
  return {};
}

bool FusedSegment::has_room(std::uint64_t length) const {
  if (sealed_) return false;
  return end_ == kSuperblockSize || end_ + length <= capacity_;
}

bool FusedSegment::fits(std::uint64_t length) const {
  MutexLock lock(mutex_);
  return has_room(length);
}

std::optional<std::uint64_t> FusedSegment::reserve(std::uint64_t length) {
  MutexLock lock(mutex_);
  if (!has_room(length)) return std::nullopt;
  const std::uint64_t offset = end_;
  end_ += length;
  return offset;
}

Result<std::optional<Location>> FusedSegment::append(const RecordInfo& info,
                                                     std::span<const Bytes> payload) {
  std::uint64_t total = 0;
  for (Bytes part : payload) total += part.size();
  if (total != info.data_length) return fail(EINVAL, "the record was not measured");
  const RecordLayout layout = SPILLFS_TRY(record_layout(info));
  const std::vector<std::byte> prefix = SPILLFS_TRY(encode_record_prefix(info));
  const auto offset = reserve(layout.length);
  if (!offset) return std::nullopt;
  SPILLFS_TRY(write_record(prefix, payload, layout.length, *offset));
  return Location{.placement = Placement::kFused,
                  .directory = directory_,
                  .segment = id_,
                  .record_offset = *offset,
                  .record_length = layout.length,
                  .data_offset = *offset + layout.data_offset,
                  .length = info.data_length};
}

Result<> FusedSegment::write_record(Bytes prefix, std::span<const Bytes> payload,
                                    std::uint64_t record_length, std::uint64_t offset) {
  std::vector<Bytes> parts{prefix};
  std::uint64_t padding = record_length - prefix.size();
  for (Bytes part : payload) {
    parts.push_back(part);
    padding -= part.size();
  }
  if (padding != 0) parts.push_back(Bytes(kZeros).first(padding));
  return file_->write_parts(parts, offset);
}

Result<> FusedSegment::seal() {
  MutexLock lock(mutex_);
  sealed_ = true;
  if (preallocated_ <= end_) return {};
  SPILLFS_TRY(file_->resize(end_));
  preallocated_ = 0;
  return {};
}

Result<> FusedSegment::sync() {
  SPILLFS_TRY(file_->sync());
  if (name_synced_) return {};
  SPILLFS_TRY(device_.sync_folder("segments"));
  name_synced_ = true;
  return {};
}

std::uint64_t FusedSegment::size() const {
  MutexLock lock(mutex_);
  return end_;
}

}  // namespace spillfs::storage
