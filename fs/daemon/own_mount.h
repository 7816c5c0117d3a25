// SPDX-License-Identifier: Apache-2.0
// OwnMount: which mount is the one that a daemon serves. It goes by the numbers that the kernel
// gave the mount, noted when it was made, because users may rename a parent of the mountpoint and
// have another mount at the old path. A daemon can't hold its mount by a descriptor: that would
// keep it busy.
//
// Threads: only the supervisor's. Nothing here looks into the mount, whose daemon this is.
#pragma once

#include <cstdint>
#include <string>

#include "fs/system/pinned_mount.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// As a hand-over tells it on. Zeros: not known.
struct MountNumbers {
  std::uint64_t id = 0;      // in the mount table
  std::string device;        // its file system's
  std::uint64_t unique = 0;  // PinnedMount::unique_id()
  friend bool operator==(const MountNumbers&, const MountNumbers&) = default;
};

class OwnMount {
 public:
  OwnMount() = default;
  explicit OwnMount(MountNumbers numbers) : numbers_(std::move(numbers)) {}
  // The one on `mountpoint` that the descriptor `fuse` speaks for; it knows none where there is no
  // such mount.
  static OwnMount find(int fuse, const std::string& mountpoint);

  [[nodiscard]] const MountNumbers& numbers() const { return numbers_; }
  // Wherever it is by now. ENOENT when it is nowhere any more, EBUSY when it can't be reached, as
  // another mount lies on it.
  [[nodiscard]] Result<PinnedMount> pin() const;
  // Takes it out of the tree, if it is there yet.
  Result<> unmount(int fuse) const;
  // As well, when no one serves it: gives back this process's copy of the descriptor, and the mount
  // stays for as long as there is another.
  Result<> end(Fd& fuse) const;

 private:
  MountNumbers numbers_;
};

// Whether the kernel still has the mount that `fuse` speaks for.
bool is_connected(int fuse);

}  // namespace spillfs::fs
