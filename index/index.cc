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

}  // namespace spillfs::index
