// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <ostream>
#include <utility>

#include "fs/cli/commands.h"
#include "fs/repair/rebuild.h"
#include "fs/store/open_store.h"
#include "fs/store/store.h"
#include "index/rocksdb_index.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

// Beside the index while it is made.
std::string rebuilding() { return fmt::format("{}.rebuilding", kIndex); }

// Whether every row of the index can be read; what is wrong otherwise.
Result<> read_index(const Store& store) {
  if (!SPILLFS_TRY(store.has_index())) return fail(ENOENT, "it is missing");
  auto folder = SPILLFS_TRY(store.open_index());
  const auto index = SPILLFS_TRY(index::RocksdbIndex::open(std::move(folder), {}));
  return index->verify();
}

// Where the old index goes; a name that is free.
Result<std::string> name_aside(const Store& store) {
  for (int n = 1;; ++n) {
    std::string name = fmt::format("{}.damaged-{}", kIndex, n);
    if (!SPILLFS_TRY(store.folder().has(name))) return name;
  }
}

// The old index moves aside, the new one takes its place. Returns where the old one is; empty where
// there was none.
Result<std::string> swap_in(const Store& store) {
  std::string aside;
  if (SPILLFS_TRY(store.folder().has(kIndex))) {
    const std::string name = SPILLFS_TRY(name_aside(store));
    SPILLFS_TRY(store.folder().rename(kIndex, name));
    aside = store.folder().path_to(name);
  }
  SPILLFS_TRY(store.folder().rename(rebuilding(), kIndex));
  SPILLFS_TRY(store.folder().sync());
  return aside;
}

// What a rebuild that did not come to its end has left.
Result<> remove_unfinished(const Store& store) {
  std::error_code error;
  files::remove_all(store.folder().path_by_descriptor() + "/" + rebuilding(), error);
  if (!error) return {};
  return fail_errno(error.value(), "remove " + store.folder().path_to(rebuilding()));
}

Result<RebuildReport> make_index(const Store& store, ProgressBar& progress, Streams streams) {
  SPILLFS_TRY(remove_unfinished(store));
  const auto segments = SPILLFS_TRY(open_segments(store, {}));
  auto folder = SPILLFS_TRY(store.open_index(rebuilding()));
  const auto index = SPILLFS_TRY(index::RocksdbIndex::open(
      std::move(folder), {.hash = {}, .no_space = [&store] { return store.drop_ballast(); }}));
  const auto tell = [&](const std::string& text) {
    progress.clear();
    complain(streams.err, text);
  };
  const auto tell_progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.update(done, total);
  };
  auto report = SPILLFS_TRY(rebuild_index(*index, *segments, tell, tell_progress));
  SPILLFS_TRY(index->sync());
  return report;
}

ExitCode tell(const RebuildReport& report, const std::string& aside, Streams streams) {
  streams.out << fmt::format(
      "{} files, of them {} in lost+found, and {} directories have names again; {} damaged places; "
      "{} segments left out\n",
      report.files, report.lost, report.directories, report.damaged, report.left_out);
  if (!aside.empty()) streams.out << fmt::format("the old index is {}\n", escaped(aside));
  streams.out << "Files that had been deleted may be back, names are those of the last seal, and "
                 "directories are their owners' alone: look before you rely on it.\n";
  return report.lost + report.damaged + report.left_out == 0 ? kExitSuccess : kExitProblemsFound;
}

}  // namespace

ExitCode run_rebuild(Store& store, const CheckCommand& command, Streams streams) {
  const auto readable = read_index(store);
  if (readable && !command.force) {
    return report({.code = EEXIST,
                   .context = fmt::format("the index of {} can be read and knows more than its "
                                          "segments; --force makes a new one nevertheless",
                                          store.path()),
                   .where = {}},
                  kExitUsage, streams);
  }
  ProgressBar progress(command.progress ? &streams.err : nullptr, ProgressBar::Unit::kSegments);
  const auto rebuilt = make_index(store, progress, streams);
  progress.clear();
  if (!rebuilt) return report(rebuilt.error(), kExitSystem, streams);
  if (auto raised = store.raise_format(); !raised) {  // the new index is one of this format
    return report(raised.error(), kExitSystem, streams);
  }
  const auto aside = swap_in(store);
  if (!aside) return report(aside.error(), kExitSystem, streams);
  return tell(*rebuilt, *aside, streams);
}

}  // namespace spillfs::fs
