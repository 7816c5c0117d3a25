// SPDX-License-Identifier: Apache-2.0
// XXH3 of every kChunk bytes of a stream, as it passes. Equals chunk_sums() of all its bytes.
// Not thread-safe but for sums(), which any number of threads may call while none update.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "storage/base/bytes.h"

namespace spillfs::storage {

class ChunkSummer {
 public:
  ChunkSummer();
  ChunkSummer(ChunkSummer&&) noexcept;
  ChunkSummer& operator=(ChunkSummer&&) noexcept;
  ~ChunkSummer();

  void update(Bytes bytes);
  // Those of chunk `first` and the following.
  [[nodiscard]] std::vector<std::uint64_t> sums(std::uint64_t first = 0) const;

 private:
  struct State;  // hides xxhash.h
  std::unique_ptr<State> state_;
};

}  // namespace spillfs::storage
