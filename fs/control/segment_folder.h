// SPDX-License-Identifier: Apache-2.0
// .spillfs/segments: the store's segments as they are on disk, for root to look at.
#pragma once

#include <memory>

#include "fs/control/control_files.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

class SegmentFolder : public ControlFolder {
 public:
  explicit SegmentFolder(Volume& volume) : volume_(volume) {}  // which outlives it

  [[nodiscard]] ControlId root() const override {
    return {.kind = ControlKind::kSegments, .of = 0, .number = 0};
  }
  Result<struct stat> attributes(ControlId id) override;
  Result<ControlId> find(ControlId folder, std::string_view name) override;
  Result<std::vector<DirectoryEntry>> list(ControlId folder, std::uint64_t after,
                                           std::size_t limit) override;
  Result<std::unique_ptr<ControlReader>> open(ControlId id) override;
  Result<Xattrs> xattrs(ControlId /*id*/) override { return Xattrs(); }

 private:
  Volume& volume_;
};

}  // namespace spillfs::fs
