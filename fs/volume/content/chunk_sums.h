// SPDX-License-Identifier: Apache-2.0
// The sums of one file's chunks for a walk through them. Those of a private segment are read from
// the index a page at a time: a file may have millions. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "index/index.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class ChunkSums {
 public:
  ChunkSums() = default;
  // All of them, as a record has them.
  explicit ChunkSums(std::vector<std::uint64_t> all) : count_(all.size()), page_(std::move(all)) {}
  // The first `count` of a private segment; `index` outlives it.
  ChunkSums(index::Index& index, SegmentId segment, std::uint64_t count)
      : index_(&index), segment_(segment), count_(count) {}

  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Of a chunk below count(). ENODATA where the index has none.
  Result<std::uint64_t> at(std::uint64_t chunk);

 private:
  index::Index* index_ = nullptr;
  SegmentId segment_ = kNoSegment;
  std::uint64_t count_ = 0;
  std::uint64_t first_ = 0;  // chunk of the page's first sum
  std::vector<std::uint64_t> page_;
};

}  // namespace spillfs::fs
