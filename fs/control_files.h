// SPDX-License-Identifier: Apache-2.0
// MOUNTPOINT/.spillfs: a folder of read-only texts about the daemon, found by name but never listed
// in the root, so that an empty mount is empty. Its inode numbers lie beyond every real one.
// Threads: every method may be called from any thread once all files are added.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class ControlFiles {
 public:
  static constexpr std::string_view kFolderName = ".spillfs";
  static constexpr InodeId kFolder{std::uint64_t{1} << 62};

  // `text` is asked for at every open and stat.
  void add(std::string name, std::function<std::string()> text);

  static bool owns(InodeId id) { return number(id) >= number(kFolder); }
  // Is this name, in this folder, the control folder or something in it?
  static bool owns(InodeId parent, std::string_view name) {
    return owns(parent) || (parent == kRootInode && name == kFolderName);
  }

  Result<struct stat> lookup(InodeId parent, std::string_view name) const;
  Result<struct stat> attributes(InodeId id) const;
  [[nodiscard]] std::vector<std::string> names() const;

  // The text as it is now, for one open file.
  Result<std::uint64_t> open(InodeId id);
  Result<std::string> read(std::uint64_t handle, std::uint64_t offset, std::size_t count);
  void release(std::uint64_t handle);

 private:
  struct Entry {
    std::string name;
    std::function<std::string()> text;
  };
  Result<const Entry*> entry(InodeId id) const;

  std::vector<Entry> entries_;
  Mutex mutex_;
  std::uint64_t next_handle_ GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, std::string> open_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::fs
