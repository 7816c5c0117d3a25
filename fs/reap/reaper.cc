// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/reaper.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <regex>
#include <utility>

#include "fs/volume/names/own_xattrs.h"
#include "fs/volume/names/runtimes.h"

namespace spillfs::fs {
namespace {

constexpr int kMostLevels = 64;  // of directories: deeper than any runtime's are

index::Time time_of(const timespec& time) {
  return {.seconds = time.tv_sec, .nanoseconds = static_cast<std::uint32_t>(time.tv_nsec)};
}

std::uint64_t bytes_of(const struct stat& file) {
  return static_cast<std::uint64_t>(file.st_blocks) * 512;
}

// What both the search and the removal ask of single inodes.
class Judge {
 public:
  Judge(ReapTree& tree, const ReapRules& rules) : tree_(tree), rules_(rules) {}

  [[nodiscard]] bool is_old(const struct stat& attributes) const {
    return std::max(time_of(attributes.st_mtim), time_of(attributes.st_ctim)) <= rules_.latest;
  }

  Result<std::optional<Creator>> creator_of(InodeId directory) {
    const auto text = SPILLFS_TRY(if_any(tree_.xattr(directory, kCreatorXattr), ENODATA));
    return text ? parse_creator(*text) : std::nullopt;
  }

  // The one that made a directory.
  Result<bool> maker_is_gone(InodeId directory) {
    const auto creator = SPILLFS_TRY(creator_of(directory));
    return creator && have_ended(*creator, 1, rules_.machine, rules_.gone);
  }

  // Whether nobody has it open, nor under another name.
  Result<bool> is_closed(InodeId file, const struct stat& attributes) {
    return attributes.st_nlink == 1 && SPILLFS_TRY(tree_.xattr(file, kOpensXattr)) == "0";
  }

  ReapTree& tree() { return tree_; }
  [[nodiscard]] const ReapRules& rules() const { return rules_; }

 private:
  ReapTree& tree_;
  const ReapRules& rules_;
};

class Search {
 public:
  Search(ReapTree& tree, const ReapRules& rules, ReapVisitor& visitor)
      : judge_(tree, rules), visitor_(visitor) {}

  void run() { search({.path = "", .name = "", .inode = kRootInode}, 0); }

 private:
  struct Directory {
    std::string path;
    std::string name;
    InodeId inode;
  };

  void search(const Directory& directory, int level) {
    std::uint64_t after = 0;
    do {
      const auto page = judge_.tree().list(directory.inode, after);
      if (!page) return trouble(page.error());
      for (const ReapEntry& entry : page->entries) {
        if (!visitor_.goes_on()) return;
        visit(directory, entry, level);
      }
      after = page->next;
    } while (after != 0 && visitor_.goes_on());
  }

  void visit(const Directory& directory, const ReapEntry& entry, int level) {
    Orphan orphan{.path = directory.path.empty() ? entry.name
                                                 : fmt::format("{}/{}", directory.path, entry.name),
                  .why = {},
                  .entries = {}};
    const bool is_directory = S_ISDIR(entry.type);
    const auto judged = is_directory ? judge_directory(directory, entry, orphan)
                                     : judge_file(directory, entry, orphan);
    if (!judged) return trouble(judged.error());
    if (*judged) return visitor_.found(orphan);
    if (!is_directory || level >= kMostLevels) return;
    search({.path = orphan.path, .name = entry.name, .inode = entry.inode}, level + 1);
  }

  void trouble(const Error& error) {
    if (error.code != ENOENT) visitor_.trouble(error);
  }

  // The file was never closed by a process that went on; Volume says so.
  Result<bool> judge_file(const Directory& in, const ReapEntry& entry, Orphan& orphan) {
    const std::string_view runtime = writes_whole_files(in.name, entry.name);
    if (runtime.empty() || !S_ISREG(entry.type)) return false;
    const struct stat file = SPILLFS_TRY(judge_.tree().look(entry.inode));
    if (!judge_.is_old(file)) return false;
    const auto mark =
        SPILLFS_TRY(if_any(judge_.tree().xattr(entry.inode, kHalfWrittenXattr), ENODATA));
    if (!mark || !SPILLFS_TRY(judge_.is_closed(entry.inode, file))) return false;
    orphan.why = fmt::format("{} left it half-written: {}", runtime, *mark);
    orphan.bytes = bytes_of(file);
    orphan.uid = file.st_uid;
    orphan.entries = {entry};
    return true;
  }

  // Whoever may rename a directory can give it a runtime's name: it has to have been made under
  // one.
  Result<bool> judge_directory(const Directory& in, const ReapEntry& entry, Orphan& orphan) {
    const RuntimeDirectory* known = runtime_directory(in.name, entry.name);
    if (known == nullptr) return false;
    const auto creator = SPILLFS_TRY(judge_.creator_of(entry.inode));
    if (!creator || creator->runtime != known->runtime) return false;
    if (!is_named_by(*known, entry.name, *creator)) return false;
    const auto count = owners(*known, *creator);
    const ReapRules& rules = judge_.rules();
    if (!count || !have_ended(*creator, *count, rules.machine, rules.gone)) return false;
    orphan.why = describe(*known, *creator, creator->processes[*count - 1]);
    orphan.uid = SPILLFS_TRY(judge_.tree().look(entry.inode)).st_uid;
    if (!SPILLFS_TRY(may_go(entry, orphan, 0))) return false;
    if (known->contents && !SPILLFS_TRY(holds_only(entry.inode, *known->contents))) return false;
    orphan.entries = {entry};
    return known->lock.empty() || SPILLFS_TRY(lock_may_go(entry, known->lock, orphan));
  }

  static std::string describe(const RuntimeDirectory& known, const Creator& creator,
                              const Process& owner) {
    return fmt::format("{}'s {} {} is gone (boot {})", known.runtime, owner.name, owner.pid,
                       creator.machine.boot.id);
  }

  // True as well when there is none.
  Result<bool> lock_may_go(const ReapEntry& directory, const std::string& suffix, Orphan& orphan) {
    ReapEntry lock{
        .parent = directory.parent, .name = directory.name + suffix, .inode = {}, .type = S_IFREG};
    const auto found = SPILLFS_TRY(if_any(judge_.tree().find(lock.parent, lock.name)));
    if (!found) return true;
    lock.inode = *found;
    if (!S_ISREG(SPILLFS_TRY(judge_.tree().look(lock.inode)).st_mode)) return false;
    if (!SPILLFS_TRY(may_go(lock, orphan, 0))) return false;
    orphan.entries.push_back(std::move(lock));
    return true;
  }

  // An entry with all that is in it. False when any of it has to stay, and then so has all.
  Result<bool> may_go(const ReapEntry& entry, Orphan& orphan, int level) {
    const struct stat found = SPILLFS_TRY(judge_.tree().look(entry.inode));
    if (level > kMostLevels || !judge_.is_old(found) || found.st_uid != orphan.uid) return false;
    if (S_ISLNK(found.st_mode)) return true;
    if (S_ISREG(found.st_mode)) {
      orphan.bytes += bytes_of(found);
      return judge_.is_closed(entry.inode, found);
    }
    if (!S_ISDIR(found.st_mode)) return false;  // what runtimes do not make
    return SPILLFS_TRY(judge_.maker_is_gone(entry.inode)) &&
           SPILLFS_TRY(inside_may_go(entry, orphan, level));
  }

  // Whether there is something in a directory, and all of it has a name that the runtime gives.
  Result<bool> holds_only(InodeId directory, const std::regex& names) {
    bool any = false;
    std::uint64_t after = 0;
    do {
      const auto page = SPILLFS_TRY(judge_.tree().list(directory, after));
      for (const ReapEntry& entry : page.entries) {
        if (!std::regex_match(entry.name, names)) return false;
        any = true;
      }
      after = page.next;
    } while (after != 0);
    return any;
  }

  Result<bool> inside_may_go(const ReapEntry& directory, Orphan& orphan, int level) {
    std::uint64_t after = 0;
    do {
      const auto page = SPILLFS_TRY(judge_.tree().list(directory.inode, after));
      for (const ReapEntry& entry : page.entries) {
        if (!visitor_.goes_on()) return false;
        if (!SPILLFS_TRY(may_go(entry, orphan, level + 1))) return false;
      }
      after = page.next;
    } while (after != 0);
    return true;
  }

  Judge judge_;
  ReapVisitor& visitor_;
};

class Removal {
 public:
  Removal(ReapTree& tree, const ReapRules& rules, std::uint32_t uid)
      : judge_(tree, rules), uid_(uid) {}

  Result<> remove(const ReapEntry& entry) {
    if (way_.size() > kMostLevels) return fail(EBUSY, "it has become deeper");
    const struct stat now = SPILLFS_TRY(judge_.tree().look(entry.inode));
    if (now.st_uid != uid_) return fail(EBUSY, "it has another owner");
    if (S_ISDIR(now.st_mode)) {
      if (!SPILLFS_TRY(judge_.maker_is_gone(entry.inode))) return fail(EBUSY, "it is new");
      way_.push_back(entry);
      SPILLFS_TRY(remove_inside(entry.inode));
      way_.pop_back();
    } else if (S_ISREG(now.st_mode) && !SPILLFS_TRY(judge_.is_closed(entry.inode, now))) {
      return fail(EBUSY, "it was opened");
    }
    SPILLFS_TRY(check_way());
    return judge_.tree().remove(entry, judge_.rules().latest);
  }

 private:
  Result<> remove_inside(InodeId directory) {
    std::uint64_t after = 0;
    do {
      const auto page = SPILLFS_TRY(judge_.tree().list(directory, after));
      for (const ReapEntry& entry : page.entries) {
        auto removed = remove(entry);
        if (!removed && removed.error().code != ENOENT) return removed;
      }
      after = page.next;
    } while (after != 0);
    return {};
  }

  // A directory that was moved away, or lies in one, is in use.
  Result<> check_way() {
    for (const ReapEntry& directory : way_) {
      const auto now = judge_.tree().find(directory.parent, directory.name);
      if (!now || *now != directory.inode) return fail(EBUSY, "it was moved");
    }
    return {};
  }

  Judge judge_;
  const std::uint32_t uid_;
  std::vector<ReapEntry> way_;  // the directories from the orphan's to where it is
};

}  // namespace

void find_orphans(ReapTree& tree, const ReapRules& rules, ReapVisitor& visitor) {
  Search(tree, rules, visitor).run();
}

Result<> remove_orphan(ReapTree& tree, const ReapRules& rules, const Orphan& orphan) {
  for (const ReapEntry& entry : orphan.entries) {
    const auto removed = Removal(tree, rules, orphan.uid).remove(entry);
    if (removed) continue;
    const Error& error = removed.error();
    const bool first = &entry == &orphan.entries.front();
    if (error.code == ENOENT && !first) continue;  // its lock has gone by itself
    const bool in_use = error.code == ENOTEMPTY || error.code == ENOENT;
    return fail(in_use ? EBUSY : error.code, fmt::format("{}: {}", orphan.path, error.context));
  }
  return {};
}

}  // namespace spillfs::fs
