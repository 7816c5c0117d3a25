// SPDX-License-Identifier: Apache-2.0
#include "index/index.h"

namespace spillfs::index {

Result<> for_each_queued(Index& index, QueueKind kind,
                         const std::function<Result<>(const QueueEntry&)>& each) {
  constexpr std::size_t kPage = 1000;
  for (std::uint64_t after = 0;;) {
    const auto page = SPILLFS_TRY(index.queue(kind, after, kPage));
    for (const QueueEntry& entry : page) SPILLFS_TRY(each(entry));
    if (page.size() < kPage) return {};
    after = page.back().id;
  }
}

Result<> reserve_up_to(Index& index, Counter counter, std::uint64_t highest) {
  const std::uint64_t next = SPILLFS_TRY(index.reserve(counter, 0));
  if (next <= highest) SPILLFS_TRY(index.reserve(counter, highest + 1 - next));
  return {};
}

}  // namespace spillfs::index
