// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/space.h"

namespace spillfs::fs {

Result<> Space::move(std::uint64_t before, std::uint64_t after) {
  if (after <= before || quota_ == 0) {
    settle(before, after);
    return {};
  }
  const std::uint64_t wanted = after - before;
  std::uint64_t now = charged_;
  do {
    if (now >= quota_ || wanted > quota_ - now) return fail(ENOSPC, "the quota is used up");
    if (now + wanted + dead_ > quota_ + quota_ / 4) return fail(EAGAIN, "too much is dead");
  } while (!charged_.compare_exchange_weak(now, now + wanted));
  return {};
}

}  // namespace spillfs::fs
