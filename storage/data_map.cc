// SPDX-License-Identifier: Apache-2.0
#include "storage/data_map.h"

#include <limits>
#include <vector>

namespace spillfs::storage {

bool DataMap::is_hole(std::uint64_t offset, std::uint64_t length) {
  if (offset >= from_ && offset + length <= to_) return true;
  const auto data = file_.seek(SeekKind::kData, offset);
  if (!data && data.error().code != ENXIO) return false;
  from_ = offset;
  to_ = data ? *data : std::numeric_limits<std::uint64_t>::max();  // no more data
  return offset + length <= to_;
}

std::uint64_t sum_of_zeros(std::uint64_t length) {
  static const std::vector<std::byte> zeros(kChunk);
  static const std::uint64_t whole = xxh3(zeros);
  return length == kChunk ? whole : xxh3(Bytes(zeros).first(length));
}

}  // namespace spillfs::storage
