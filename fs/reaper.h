// SPDX-License-Identifier: Apache-2.0
// Finds and removes what nobody will come back for (docs/CLI.md): files whose writer died, and
// directories of runtimes that are gone. What is not certain stays.
//
// Threads: none of its own; a ReapTree is used by one at a time.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fs/process_identity.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct ReapEntry {
  std::string path;  // from the mount's root, without a slash before it
  struct stat attributes {};
};

// A mount, as far as it is looked at and cleared. Paths are as in ReapEntry, "" is the root. No
// symlink is followed, and no file system under the mount is entered. ENOENT for what has vanished.
class ReapTree {
 public:
  virtual ~ReapTree() = default;
  virtual Result<std::vector<ReapEntry>> list(const std::string& directory) = 0;
  virtual Result<struct stat> look(const std::string& path) = 0;
  virtual Result<std::string> xattr(const std::string& path, const char* name) = 0;  // ENODATA
  virtual Result<> remove_file(const std::string& path) = 0;
  virtual Result<> remove_directory(const std::string& path) = 0;
};

struct ReapRules {
  Machine machine;
  std::int64_t now = 0;  // seconds since 1970
  std::chrono::seconds older_than{3600};
  std::function<bool(const Process&)> gone = is_gone;
};

// What goes together: a file, or a directory with all that is in it.
struct Orphan {
  std::string path;
  std::string why;
  std::uint64_t bytes = 0;         // that the files are charged with
  std::vector<ReapEntry> entries;  // in the order in which they can be removed
};

struct ReapFindings {
  std::vector<Orphan> orphans;
  std::vector<Error> trouble;  // what could not be looked at, and stays
};
ReapFindings find_orphans(ReapTree& tree, const ReapRules& rules);

// EBUSY when something in it was opened or changed since it was found; what was removed before is.
Result<> remove_orphan(ReapTree& tree, const Orphan& orphan);

}  // namespace spillfs::fs
