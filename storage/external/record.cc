// SPDX-License-Identifier: Apache-2.0
#include "storage/external/record.h"

#include <fmt/format.h>

#include <algorithm>

namespace spillfs::storage::external {
namespace {

// One request to the store reads this much, so that a small object comes in one. Bytes.
constexpr std::uint64_t kReadAhead = kMiB;

using Wide = unsigned __int128;  // holds the sum of any lengths

}  // namespace

Result<std::string> encode_record_head(const SpillObject& object) {
  if (!object.buffer) {
    // Ray marks an object whose owner is gone by metadata of one byte.
    return fail(EINVAL, fmt::format("object ref {} does not exist.{}", object.ref,
                                    object.metadata.size() == 1
                                        ? " This is probably since its owner has failed."
                                        : ""));
  }
  const RayHeader header{.owner_address_length = object.owner_address.size(),
                         .metadata_length = object.metadata.size(),
                         .data_length = object.buffer->size()};
  std::string head(as_text(bytes_of(header)));
  head += object.owner_address;
  head += object.metadata;
  return head;
}

Result<> check_record_size(const RayHeader& header, std::uint64_t size) {
  const Wide obtained = Wide{sizeof(RayHeader)} + header.owner_address_length +
                        header.metadata_length + header.data_length;
  if (obtained == size) return {};
  return fail(EINVAL, fmt::format("Obtained data has a size of {}, although it is supposed to have "
                                  "the size of {}.",
                                  obtained, size));
}

Failure RecordReader::ended(Where where) const {
  return fail(
      EIO,
      fmt::format("{} ends before its record at {} of {} bytes", url_.base, url_.offset, url_.size),
      where);
}

Result<std::size_t> RecordReader::read_some(MutableBytes into) {
  std::uint64_t at = 0;
  if (__builtin_add_overflow(url_.offset, fetched_, &at)) return ended();
  const std::size_t got = SPILLFS_TRY(store_.read(key_, into, at));
  fetched_ += got;
  return got;
}

Result<> RecordReader::read_all(MutableBytes into) {
  if (SPILLFS_TRY(read_some(into)) < into.size()) return ended();
  return {};
}

Result<> RecordReader::read_ahead(std::uint64_t count) {
  const std::size_t before = ahead_.size();
  ahead_.resize(before + count);
  return read_all(MutableBytes(ahead_).subspan(before));
}

Result<RestoredObject> RecordReader::read_head() {
  constexpr std::uint64_t kHeader = sizeof(RayHeader);
  ahead_.resize(std::clamp(url_.size, kHeader, kReadAhead));
  const std::size_t got = SPILLFS_TRY(read_some(ahead_));
  if (got < kHeader) return ended();
  const auto header = load<RayHeader>(ahead_);
  SPILLFS_TRY(check_record_size(header, url_.size));
  if (got < ahead_.size()) return ended();
  const std::uint64_t owner_end = kHeader + header.owner_address_length;
  const std::uint64_t head_end = owner_end + header.metadata_length;
  // Piece by piece: the lengths are only believed as far as there are bytes.
  while (ahead_.size() < head_end) {
    SPILLFS_TRY(read_ahead(std::min(kReadAhead, head_end - ahead_.size())));
  }
  const std::string_view head = as_text(Bytes(ahead_).first(head_end));
  used_ = head_end;
  left_ = header.data_length;
  return RestoredObject{.ref = {},
                        .owner_address = std::string(head.substr(kHeader, owner_end - kHeader)),
                        .metadata = std::string(head.substr(owner_end)),
                        .length = header.data_length};
}

Result<std::size_t> RecordReader::read(MutableBytes into) {
  into = into.first(std::min<std::uint64_t>(into.size(), left_));
  std::size_t done = 0;
  while (done < into.size()) {
    if (used_ == ahead_.size()) {
      ahead_.clear();
      used_ = 0;
      const MutableBytes rest = into.subspan(done);
      if (rest.size() >= kReadAhead) {
        SPILLFS_TRY(read_all(rest));
        done = into.size();
        break;
      }
      SPILLFS_TRY(read_ahead(std::min(kReadAhead, left_ - done)));
    }
    const std::size_t count = std::min(into.size() - done, ahead_.size() - used_);
    std::copy_n(ahead_.begin() + static_cast<std::ptrdiff_t>(used_), count,
                into.begin() + static_cast<std::ptrdiff_t>(done));
    used_ += count;
    done += count;
  }
  left_ -= done;
  return done;
}

}  // namespace spillfs::storage::external
