// SPDX-License-Identifier: Apache-2.0
#include "storage/chunk_summer.h"

#include <xxhash.h>

#include <algorithm>
#include <new>

#include "storage/base/checksum.h"

namespace spillfs::storage {

struct ChunkSummer::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };

  State() : hash(XXH3_createState()) {
    if (hash == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset(hash.get());
  }

  std::unique_ptr<XXH3_state_t, Free> hash;
  std::uint64_t in_chunk = 0;       // bytes of the chunk that is not full yet
  std::vector<std::uint64_t> full;  // sums of the chunks before it
};

ChunkSummer::ChunkSummer() : state_(std::make_unique<State>()) {}
ChunkSummer::ChunkSummer(ChunkSummer&&) noexcept = default;
ChunkSummer& ChunkSummer::operator=(ChunkSummer&&) noexcept = default;
ChunkSummer::~ChunkSummer() = default;

void ChunkSummer::update(Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes part =
        bytes.first(std::min<std::uint64_t>(bytes.size(), kChunk - state_->in_chunk));
    XXH3_64bits_update(state_->hash.get(), part.data(), part.size());
    state_->in_chunk += part.size();
    bytes = bytes.subspan(part.size());
    if (state_->in_chunk == kChunk) {
      state_->full.push_back(XXH3_64bits_digest(state_->hash.get()));
      XXH3_64bits_reset(state_->hash.get());
      state_->in_chunk = 0;
    }
  }
}

std::vector<std::uint64_t> ChunkSummer::sums(std::uint64_t first) const {
  const auto& full = state_->full;
  const auto skip = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(first, full.size()));
  std::vector<std::uint64_t> sums(full.begin() + skip, full.end());
  if (state_->in_chunk != 0) sums.push_back(XXH3_64bits_digest(state_->hash.get()));
  return sums;
}

}  // namespace spillfs::storage
