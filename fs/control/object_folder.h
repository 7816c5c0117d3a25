// SPDX-License-Identifier: Apache-2.0
// .spillfs/objects: the mount's directories once more, where each file that Ray wrote is a folder
// of its objects: <path>/<n> holds the buffer, its xattrs user.spill.owner_address, .metadata and
// .url the rest. Who may read a file may read its objects.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "fs/control/control_files.h"
#include "fs/volume/volume.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class ObjectFolder : public ControlFolder {
 public:
  // `volume` outlives it; urls start with `mountpoint`.
  ObjectFolder(Volume& volume, std::string mountpoint)
      : volume_(volume), mountpoint_(std::move(mountpoint)) {}

  [[nodiscard]] ControlId root() const override { return folder(kRootInode); }
  Result<struct stat> attributes(ControlId id) override;
  Result<ControlId> find(ControlId folder, std::string_view name) override;
  Result<std::vector<DirectoryEntry>> list(ControlId folder, std::uint64_t after,
                                           std::size_t limit) override;
  Result<std::unique_ptr<ControlReader>> open(ControlId id) override;
  Result<Xattrs> xattrs(ControlId id) override;

 private:
  using Objects = std::shared_ptr<const Volume::RayObjects>;

  static ControlId folder(InodeId id) {
    return {.kind = ControlKind::kObjects, .of = number(id), .number = 0};
  }
  Result<Objects> objects(InodeId id) EXCLUDES(mutex_);
  // The file an object lies in, and which of its objects it is.
  struct Place {
    Objects objects;
    storage::RayObject object;
  };
  Result<Place> place(ControlId id);
  bool is_shown(const struct stat& original);
  Result<std::vector<DirectoryEntry>> list_directory(InodeId id, std::uint64_t after,
                                                     std::size_t limit);
  Result<std::vector<DirectoryEntry>> list_file(InodeId id, std::uint64_t after, std::size_t limit);

  Volume& volume_;
  const std::string mountpoint_;
  Mutex mutex_;
  std::list<Objects> recent_ GUARDED_BY(mutex_);  // most recently used first
};

}  // namespace spillfs::fs
