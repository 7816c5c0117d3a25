// SPDX-License-Identifier: Apache-2.0
#include "fs/reaper.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "fs/own_xattrs.h"
#include "fs/runtimes.h"

namespace spillfs::fs {
namespace {

constexpr int kMostLevels = 64;  // of directories: deeper than any runtime's are

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_mode == b.st_mode && a.st_size == b.st_size &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// Whether nobody has it open.
Result<bool> is_closed(ReapTree& tree, const std::string& path) {
  return SPILLFS_TRY(tree.xattr(path, kOpensXattr)) == "0";
}

class Search {
 public:
  Search(ReapTree& tree, const ReapRules& rules) : tree_(tree), rules_(rules) {}

  ReapFindings run() {
    search("", 0);
    return std::move(found_);
  }

 private:
  void search(const std::string& directory, int level) {
    const auto entries = tree_.list(directory);
    if (!entries) return trouble(entries.error());
    for (const ReapEntry& entry : *entries) {
      auto orphan =
          S_ISDIR(entry.attributes.st_mode) ? judge_directory(entry, *entries) : judge_file(entry);
      if (!orphan) {
        trouble(orphan.error());
      } else if (*orphan) {
        found_.orphans.push_back(**std::move(orphan));
      } else if (S_ISDIR(entry.attributes.st_mode) && level < kMostLevels) {
        search(entry.path, level + 1);
      }
    }
  }

  void trouble(const Error& error) {
    if (error.code != ENOENT) found_.trouble.push_back(error);
  }

  [[nodiscard]] bool is_old(const struct stat& attributes) const {
    const auto latest = std::max(attributes.st_mtim.tv_sec, attributes.st_ctim.tv_sec);
    return rules_.now - latest >= rules_.older_than.count();
  }

  // The file was never closed by a process that went on; Volume says so.
  Result<std::optional<Orphan>> judge_file(const ReapEntry& entry) {
    const std::string_view runtime =
        writes_whole_files(name_of(parent_of(entry.path)), name_of(entry.path));
    if (runtime.empty() || !S_ISREG(entry.attributes.st_mode)) return std::nullopt;
    if (!is_old(entry.attributes)) return std::nullopt;
    const auto mark = SPILLFS_TRY(if_any(tree_.xattr(entry.path, kHalfWrittenXattr), ENODATA));
    if (!mark || !SPILLFS_TRY(is_closed(tree_, entry.path))) return std::nullopt;
    return Orphan{.path = entry.path,
                  .why = fmt::format("{} left it half-written: {}", runtime, *mark),
                  .bytes = bytes_of_file(entry),
                  .entries = {entry}};
  }

  static std::uint64_t bytes_of_file(const ReapEntry& entry) {
    return static_cast<std::uint64_t>(entry.attributes.st_blocks) * 512;
  }

  Result<std::optional<Orphan>> judge_directory(const ReapEntry& entry,
                                                const std::vector<ReapEntry>& beside) {
    const RuntimeDirectory* known =
        runtime_directory(name_of(parent_of(entry.path)), name_of(entry.path));
    if (known == nullptr) return std::nullopt;
    const auto text = SPILLFS_TRY(if_any(tree_.xattr(entry.path, kCreatorXattr), ENODATA));
    const auto creator = text ? parse_creator(*text) : std::nullopt;
    const auto count = creator ? owners(*known, *creator) : std::nullopt;
    if (!count || !are_gone(*creator, *count)) return std::nullopt;
    Orphan orphan{.path = entry.path,
                  .why = describe(*known, *creator, creator->processes[*count - 1]),
                  .bytes = 0,
                  .entries = {}};
    if (!SPILLFS_TRY(gather(entry, orphan, 0))) return std::nullopt;
    for (const ReapEntry& other : beside) {
      const bool lock = !known->lock.empty() && other.path == entry.path + known->lock;
      if (lock && !SPILLFS_TRY(gather(other, orphan, 0))) return std::nullopt;
    }
    return orphan;
  }

  static std::string describe(const RuntimeDirectory& known, const Creator& creator,
                              const Process& owner) {
    return fmt::format("{}'s {} {} is gone (boot {})", known.runtime, owner.name, owner.pid,
                       creator.machine.boot);
  }

  // The first `count` of its processes.
  [[nodiscard]] bool are_gone(const Creator& creator, std::size_t count) const {
    if (rules_.machine.boot.empty() || creator.machine.boot.empty()) return false;
    if (creator.machine.boot != rules_.machine.boot) return true;
    if (creator.machine != rules_.machine) return false;  // we don't see its processes
    return std::all_of(creator.processes.begin(),
                       creator.processes.begin() + static_cast<std::ptrdiff_t>(count), rules_.gone);
  }

  // Adds an entry, after all that is in it. False when any of it has to stay, and then so has all.
  Result<bool> gather(const ReapEntry& entry, Orphan& orphan, int level) {
    if (level > kMostLevels || !is_old(entry.attributes)) return false;
    if (S_ISREG(entry.attributes.st_mode)) {
      if (!SPILLFS_TRY(is_closed(tree_, entry.path))) return false;
      orphan.bytes += bytes_of_file(entry);
    } else if (S_ISDIR(entry.attributes.st_mode)) {
      if (!SPILLFS_TRY(gather_inside(entry, orphan, level))) return false;
    } else if (!S_ISLNK(entry.attributes.st_mode)) {
      return false;  // what runtimes do not make
    }
    orphan.entries.push_back(entry);
    return true;
  }

  Result<bool> gather_inside(const ReapEntry& directory, Orphan& orphan, int level) {
    const auto text = SPILLFS_TRY(if_any(tree_.xattr(directory.path, kCreatorXattr), ENODATA));
    const auto creator = text ? parse_creator(*text) : std::nullopt;
    if (!creator || !are_gone(*creator, 1)) return false;
    for (const ReapEntry& entry : SPILLFS_TRY(tree_.list(directory.path))) {
      if (!SPILLFS_TRY(gather(entry, orphan, level + 1))) return false;
    }
    return true;
  }

  ReapTree& tree_;
  const ReapRules& rules_;
  ReapFindings found_;
};

Result<> remove_entry(ReapTree& tree, const ReapEntry& entry) {
  const struct stat now = SPILLFS_TRY(tree.look(entry.path));
  if (S_ISDIR(entry.attributes.st_mode)) {
    if (now.st_ino != entry.attributes.st_ino) return fail(EBUSY, entry.path + " is another now");
    return tree.remove_directory(entry.path);
  }
  if (!is_same(now, entry.attributes)) return fail(EBUSY, entry.path + " has changed");
  const bool regular = S_ISREG(entry.attributes.st_mode);
  if (regular && !SPILLFS_TRY(is_closed(tree, entry.path))) {
    return fail(EBUSY, entry.path + " was opened");
  }
  return tree.remove_file(entry.path);
}

}  // namespace

ReapFindings find_orphans(ReapTree& tree, const ReapRules& rules) {
  return Search(tree, rules).run();
}

Result<> remove_orphan(ReapTree& tree, const Orphan& orphan) {
  for (const ReapEntry& entry : orphan.entries) {
    auto removed = remove_entry(tree, entry);
    if (removed || removed.error().code == ENOENT) continue;
    if (removed.error().code == ENOTEMPTY) return fail(EBUSY, entry.path + " is in use again");
    return removed;
  }
  return {};
}

}  // namespace spillfs::fs
