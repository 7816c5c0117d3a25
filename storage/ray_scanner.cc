// SPDX-License-Identifier: Apache-2.0
#include "storage/ray_scanner.h"

#include <algorithm>

namespace spillfs::storage {
namespace {

constexpr std::uint64_t kMaxRayBuffer = std::uint64_t{1} << 62;

}  // namespace

std::optional<RayObject> ray_object(std::uint64_t offset, const RayHeader& header) {
  if (header.owner_address_length > kMaxField || header.metadata_length > kMaxField ||
      header.data_length > kMaxRayBuffer) {
    return std::nullopt;
  }
  // Zeros are a hole, not an object.
  if (header.owner_address_length + header.metadata_length + header.data_length == 0) {
    return std::nullopt;
  }
  return RayObject{.offset = offset, .header = header};
}

void RayScanner::update(Bytes bytes) {
  while (!bytes.empty()) {
    if (foreign_) {
      position_ += bytes.size();
      return;
    }
    if (inside_) {
      const std::uint64_t step = std::min<std::uint64_t>(bytes.size(), next_ - position_);
      position_ += step;
      bytes = bytes.subspan(step);
      if (position_ < next_) return;
      inside_ = false;
      ++objects_;
      continue;
    }
    const std::size_t step = std::min(bytes.size(), header_.size() - header_bytes_);
    std::copy_n(bytes.begin(), step, header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
    header_bytes_ += step;
    position_ += step;
    bytes = bytes.subspan(step);
    if (header_bytes_ < header_.size()) return;
    const auto object = ray_object(next_, load<RayHeader>(header_));
    windows_.look(next_);
    foreign_ = !object || windows_.count() > HeaderWindows::kMost;
    if (object) next_ = object->end();
    inside_ = true;
    header_bytes_ = 0;
  }
}

Result<std::vector<RayObject>> find_ray_objects(const ReadAt& read, std::uint64_t size,
                                                RayTail tail) {
  std::vector<RayObject> objects;
  std::vector<std::byte> window;
  HeaderWindows windows;
  std::uint64_t at = 0;
  while (size - at >= sizeof(RayHeader) && objects.size() < kMaxRayObjects) {
    const std::uint64_t before = windows.count();
    windows.look(at);
    if (windows.count() > HeaderWindows::kMost) return std::vector<RayObject>();
    if (windows.count() != before) {
      window.resize(std::min(HeaderWindows::kSize, size - at));
      SPILLFS_TRY(read(window, at));
    }
    const auto header = load<RayHeader>(Bytes(window).subspan(at - windows.start()));
    const auto object = ray_object(at, header);
    if (!object) return std::vector<RayObject>();
    if (object->end() > size) break;
    objects.push_back(*object);
    at = object->end();
  }
  if (tail == RayTail::kWhole && at != size) objects.clear();
  return objects;
}

}  // namespace spillfs::storage
