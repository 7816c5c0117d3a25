// SPDX-License-Identifier: Apache-2.0
// The names of a new index: files are put under their paths, directories come as they are needed,
// and what finds no place goes to /lost+found. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "index/index.h"

namespace spillfs::fs {

class NewTree {
 public:
  // Directories get the inode numbers from `first` on; `index`, which is empty, outlives it.
  NewTree(index::Index& index, std::uint64_t first);

  struct Place {
    std::string folder;  // its path, empty for the root
    std::string name;
  };
  // Where a file of that path and owner can be: free, and below directories. EEXIST, EINVAL.
  Result<Place> place(const std::string& path, const index::Inode& file);
  // In /lost+found.
  Result<Place> lost(InodeId id);
  // Adds a file's inode and its name, of a place() or lost(), to `batch` and commits that.
  Result<> add(const Place& at, index::Inode file, index::Batch batch);
  // After the last: the directories themselves.
  Result<> finish();

  [[nodiscard]] std::uint64_t next_inode() const { return next_; }
  [[nodiscard]] std::uint64_t directories() const { return directories_.size() - 1; }
  InodeId new_inode() { return InodeId{next_++}; }

 private:
  using Directories = std::map<std::string, index::Inode>;  // by path; the root's is empty
  Result<Directories::iterator> directory(const std::string& path, const index::Inode& owner);

  index::Index& index_;
  std::uint64_t next_;
  Directories directories_;
};

}  // namespace spillfs::fs
