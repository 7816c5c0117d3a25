// SPDX-License-Identifier: Apache-2.0
// Who may write past the daemon. A descriptor that the kernel serves by itself can't be taken back
// and writes until the disk is full, so where a quota or the index's reserve is to hold nobody gets
// one whom it binds: what such a writer adds comes through the daemon, which refuses it in time.
// Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "fs/volume/accounts/space.h"
#include "fs/volume/accounts/user_space.h"
#include "storage/base/bytes.h"
#include "storage/segments.h"

namespace spillfs::fs {

class PastWriters {
 public:
  // A trusted user, root or `trusted`, as whom the daemon runs, could fill the index's disk without
  // the mount as well; it writes past the daemon while there is so much room.
  static constexpr std::uint64_t kRoomForTrusted = 8 * kGiB;

  PastWriters(const Space& space, const UserSpace& users, storage::SegmentStore& segments,
              uid_t trusted)
      : space_(space), users_(users), segments_(segments), trusted_(trusted) {}

  // Whether `caller` may write to a file of `owner` without the daemon.
  [[nodiscard]] bool may_write(uid_t owner, uid_t caller) const;
  // Whether anything is kept that the bytes of such a file count for.
  [[nodiscard]] bool binds(uid_t owner) const;

 private:
  [[nodiscard]] bool has_quota(uid_t owner) const {
    return space_.quota() != 0 || users_.limits(owner);
  }

  const Space& space_;
  const UserSpace& users_;
  storage::SegmentStore& segments_;
  const uid_t trusted_;
};

}  // namespace spillfs::fs
