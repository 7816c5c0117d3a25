// SPDX-License-Identifier: Apache-2.0
#include "storage/disk_reader.h"

#include <algorithm>
#include <memory>

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kWindow = kMiB;

}  // namespace

Result<Bytes> DiskReader::read(std::uint64_t offset, std::uint64_t length) {
  const bool inside = offset >= start_ && offset + length <= start_ + filled_;
  if (!inside) SPILLFS_TRY(fill(offset, length));
  const std::uint64_t skip = offset - start_;
  if (skip >= filled_) return Bytes();
  return Bytes(window_).subspan(skip, std::min<std::uint64_t>(length, filled_ - skip));
}

bool DiskReader::is_hole(std::uint64_t offset, std::uint64_t length) {
  if (!file_) return false;
  if (!data_) {
    data_.emplace(**file_);
    const auto status = (*file_)->status();
    size_ = status ? status->size : 0;
  }
  return offset + length <= size_ && data_->is_hole(offset, length);
}

Result<> DiskReader::fill(std::uint64_t offset, std::uint64_t length) {
  const auto file = SPILLFS_TRY(Result<std::shared_ptr<File>>(file_));
  filled_ = 0;
  start_ = offset / kDirectAlignment * kDirectAlignment;
  const std::uint64_t wanted =
      std::max(kWindow, round_up(offset + length, kDirectAlignment) - start_);
  if (window_.size() < wanted) {
    memory_.resize(wanted + kDirectAlignment);
    void* at = memory_.data();
    std::size_t room = memory_.size();
    at = std::align(kDirectAlignment, wanted, at, room);
    window_ = MutableBytes(static_cast<std::byte*>(at), wanted);
  }
  filled_ = SPILLFS_TRY(file->read_direct(window_.first(wanted), start_));
  return {};
}

}  // namespace spillfs::storage
