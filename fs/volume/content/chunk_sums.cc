// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/chunk_sums.h"

#include <algorithm>

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kSumsPage = 16 * index::kSumsPerRow;

}  // namespace

Result<std::uint64_t> ChunkSums::at(std::uint64_t chunk) {
  const bool here = chunk >= first_ && chunk - first_ < page_.size();
  if (!here && index_ != nullptr) {
    first_ = chunk / kSumsPage * kSumsPage;
    page_ = SPILLFS_TRY(index_->sums(segment_, first_, std::min(kSumsPage, count_ - first_)));
  }
  if (chunk < first_ || chunk - first_ >= page_.size()) return fail(ENODATA, "sums are missing");
  return page_[chunk - first_];
}

}  // namespace spillfs::fs
