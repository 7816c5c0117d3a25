// SPDX-License-Identifier: Apache-2.0
// PinnedMount: a mount of spillfs, held by a descriptor of its root. A path may be renamed, and
// anything that users own may be mounted, linked or written where it was; a descriptor stays with
// the mount. Nothing here asks the mount's daemon anything, but for is_dead().
//
// While one lives its mount is busy to umount(8), so it is held for as long as it is needed.
#pragma once

#include <optional>
#include <string>

#include "fs/system/mount_table.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class PinnedMount {
 public:
  // The one on `path`. EINVAL where the mount table has no spillfs exactly there, whatever the
  // directory looks like.
  static Result<PinnedMount> at(const std::string& path);

  [[nodiscard]] const std::string& path() const { return entry_.where; }
  [[nodiscard]] const MountEntry& entry() const { return entry_; }
  [[nodiscard]] int root() const { return root_.get(); }
  // Who mounted it: who decides what its daemon says.
  [[nodiscard]] uid_t owner() const { return owner_.user; }
  [[nodiscard]] gid_t group() const { return owner_.group; }
  // Whether another user than root or this one mounted it: nothing that it says is to be trusted.
  [[nodiscard]] bool is_strangers() const;
  // A number that no other mount has had or will have; 0 where the kernel has none (before 6.8).
  [[nodiscard]] std::uint64_t unique_id() const;
  // Whether it has no daemon any more; asks it, so not of strangers' mounts.
  [[nodiscard]] bool is_dead() const;

  // Takes it out of the tree, also where files are open in it. Done when it is out already.
  Result<> unmount() const;
  // Unmounts what nothing uses for longer than three seconds, and gives it back, as that would be a
  // use; EBUSY. What is at its place by then, and could only be put there by who may unmount this
  // one, may go instead.
  static Result<> unmount_unless_busy(PinnedMount mount);

 private:
  static Result<> try_to_unmount(const std::string& link, const PinnedMount& mount);
  PinnedMount(Fd root, MountEntry entry, MountOwner owner)
      : root_(std::move(root)), entry_(std::move(entry)), owner_(owner) {}

  Fd root_;
  MountEntry entry_;
  MountOwner owner_;
};

}  // namespace spillfs::fs
