// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/past_writers.h"

namespace spillfs::fs {

bool PastWriters::may_write(uid_t owner, uid_t caller) const {
  if (has_quota(owner)) return false;
  if (!segments_.keeps_reserve()) return true;
  const bool is_trusted = caller == 0 || caller == trusted_;
  return is_trusted && segments_.check_room(kRoomForTrusted).has_value();
}

bool PastWriters::binds(uid_t owner) const { return has_quota(owner) || segments_.keeps_reserve(); }

}  // namespace spillfs::fs
