// SPDX-License-Identifier: Apache-2.0
// Finds the objects in a file that Ray wrote: records one behind the other, each a RayHeader, owner
// address, metadata, buffer. A file that is not in that format is just a file.
// Not thread-safe but for the const functions.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/format.h"

namespace spillfs::storage {

// One record of Ray's. Offsets are bytes from the file's start.
struct RayObject {
  std::uint64_t offset = 0;
  RayHeader header{};

  [[nodiscard]] std::uint64_t owner_address_offset() const { return offset + sizeof(RayHeader); }
  [[nodiscard]] std::uint64_t metadata_offset() const {
    return owner_address_offset() + header.owner_address_length;
  }
  [[nodiscard]] std::uint64_t data_offset() const {
    return metadata_offset() + header.metadata_length;
  }
  [[nodiscard]] std::uint64_t end() const { return data_offset() + header.data_length; }
};

// The record whose header is at `offset`; none where Ray would not write such lengths. Ray's owner
// addresses and metadata are some tens of bytes; kMaxField leaves room, and keeps out other files.
std::optional<RayObject> ray_object(std::uint64_t offset, const RayHeader& header);

// How many places of a file have to be read to look at its headers: small objects' lie together. A
// file whose objects take more is not shown, so that no file keeps those who look at it for long.
class HeaderWindows {
 public:
  static constexpr std::uint64_t kSize = 4096;
  static constexpr std::uint64_t kMost = 8192;

  // The next header is at `at`; they come in order.
  void look(std::uint64_t at) {
    if (count_ != 0 && at + sizeof(RayHeader) <= start_ + kSize) return;
    start_ = at;
    ++count_;
  }
  [[nodiscard]] std::uint64_t start() const { return start_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::uint64_t start_ = 0;  // of the latest
  std::uint64_t count_ = 0;
};

// Follows a file's bytes as they come, in order from the start, and looks at the headers only.
class RayScanner {
 public:
  void update(Bytes bytes);
  // Bytes seen so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  // Complete objects so far; 0 when the bytes are not Ray's.
  [[nodiscard]] std::uint64_t objects() const { return foreign_ ? 0 : objects_; }
  // As objects(), but 0 unless the bytes end where an object does.
  [[nodiscard]] std::uint64_t objects_if_whole() const {
    return position_ == next_ ? objects() : 0;
  }

 private:
  std::uint64_t position_ = 0;
  std::uint64_t next_ = 0;  // where the object under way ends; the next header starts there
  std::array<std::byte, sizeof(RayHeader)> header_{};
  std::size_t header_bytes_ = 0;  // of the header at next_, seen so far
  HeaderWindows windows_;
  bool inside_ = false;  // between a header and next_
  std::uint64_t objects_ = 0;
  bool foreign_ = false;
};

// The complete objects in the first `size` bytes of a file, up to kMaxRayObjects. `read` fills its
// buffer from an offset. Empty when the bytes are not Ray's, their headers take more windows than
// HeaderWindows::kMost, or the last object is cut short and `tail` does not allow it.
inline constexpr std::uint64_t kMaxRayObjects = std::uint64_t{1} << 20;
enum class RayTail : std::uint8_t { kMayBeCut, kWhole };
using ReadAt = std::function<Result<>(MutableBytes into, std::uint64_t offset)>;
Result<std::vector<RayObject>> find_ray_objects(const ReadAt& read, std::uint64_t size,
                                                RayTail tail);

}  // namespace spillfs::storage
