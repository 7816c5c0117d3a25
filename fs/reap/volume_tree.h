// SPDX-License-Identifier: Apache-2.0
// A Volume as a ReapTree. Threads: one at a time.
#pragma once

#include <string>

#include "fs/reap/reaper.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

class VolumeTree : public ReapTree {
 public:
  explicit VolumeTree(Volume& volume) : volume_(volume) {}

  Result<Page> list(InodeId directory, std::uint64_t after) override;
  Result<InodeId> find(InodeId directory, const std::string& name) override;
  Result<struct stat> look(InodeId inode) override;
  Result<std::string> xattr(InodeId inode, const char* name) override;
  Result<> remove(const ReapEntry& entry, index::Time latest) override;

 private:
  Volume& volume_;
};

}  // namespace spillfs::fs
