// SPDX-License-Identifier: Apache-2.0
// Finds and removes what nobody will come back for (docs/CLI.md): files whose writer died, and
// directories of runtimes that are gone. What is not certain stays. Everything is told apart by its
// inode, and judged once more as it is removed: names that change meanwhile mislead no one.
//
// Threads: none of its own; a ReapTree is used by one at a time.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fs/system/process_identity.h"
#include "index/index.h"
#include "storage/base/ids.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// An inode under one of its names.
struct ReapEntry {
  InodeId parent{};
  std::string name;
  InodeId inode{};
  mode_t type = 0;  // S_IFMT alone
};

// A mount, as far as it is looked at and cleared. ENOENT for what has vanished.
class ReapTree {
 public:
  struct Page {
    std::vector<ReapEntry> entries;
    std::uint64_t next = 0;  // behind them; 0: there are no more
  };
  virtual ~ReapTree() = default;
  // Some of a directory's entries, behind `after`; 0: the first ones.
  virtual Result<Page> list(InodeId directory, std::uint64_t after) = 0;
  virtual Result<InodeId> find(InodeId directory, const std::string& name) = 0;
  virtual Result<struct stat> look(InodeId inode) = 0;
  virtual Result<std::string> xattr(InodeId inode, const char* name) = 0;  // ENODATA
  // ENOENT when the name is another's, ENOTEMPTY; EBUSY when a file is open, or was changed after
  // `latest`.
  virtual Result<> remove(const ReapEntry& entry, index::Time latest) = 0;
};

struct ReapRules {
  Machine machine;
  index::Time latest;  // what was touched after that is in use
  std::function<bool(const Process&)> gone = is_gone;
};

// What goes together: a file, or a directory with all that is in it, and a lock beside it.
struct Orphan {
  std::string path;  // from the mount's root, without a slash before it
  std::string why;
  std::uint64_t bytes = 0;         // that the files are charged with
  std::uint32_t uid = 0;           // whose all of it is
  std::vector<ReapEntry> entries;  // in the order in which they can be removed
};

// What a search comes upon.
class ReapVisitor {
 public:
  virtual ~ReapVisitor() = default;
  // It may be removed at once.
  virtual void found(const Orphan& orphan) = 0;
  // What could not be looked at, and stays.
  virtual void trouble(const Error& error) = 0;
  // False: the search is to end.
  virtual bool goes_on() = 0;
};
void find_orphans(ReapTree& tree, const ReapRules& rules, ReapVisitor& visitor);

// EBUSY when something in it was opened, changed or moved since it was found, or is new; what was
// removed before is.
Result<> remove_orphan(ReapTree& tree, const ReapRules& rules, const Orphan& orphan);

}  // namespace spillfs::fs
