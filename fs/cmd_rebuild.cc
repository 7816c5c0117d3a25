// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "fs/commands.h"
#include "fs/rebuild.h"
#include "fs/store.h"
#include "fs/worker.h"
#include "index/rocksdb_index.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

// Whether every row of the index can be read; what is wrong otherwise.
Result<> read_index(const Store& store) {
  if (!files::exists(store.index_path() + "/CURRENT")) return fail(ENOENT, "it is missing");
  const auto index = SPILLFS_TRY(index::RocksdbIndex::open(store.index_path(), {}));
  return index->verify();
}

// Where the old index goes; a name that is free.
std::string name_aside(const Store& store) {
  for (int n = 1;; ++n) {
    std::string name = fmt::format("{}.damaged-{}", store.index_path(), n);
    if (!files::exists(name)) return name;
  }
}

Result<> sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return fail_errno(errno, "sync " + path);
  return {};
}

// The old index moves aside, the new one takes its place. Returns where the old one is; empty where
// there was none.
Result<std::string> swap_in(const Store& store, const std::string& made) {
  std::error_code error;
  std::string aside;
  if (files::exists(store.index_path())) {
    aside = name_aside(store);
    files::rename(store.index_path(), aside, error);
    if (error) return fail_errno(error.value(), "move the old index to " + aside);
  }
  files::rename(made, store.index_path(), error);
  if (error) return fail_errno(error.value(), "put the new index in its place");
  SPILLFS_TRY(sync_folder(store.path()));
  return aside;
}

Result<RebuildReport> make_index(const Store& store, const std::string& folder,
                                 ProgressBar& progress, Streams streams) {
  std::error_code error;
  files::remove_all(folder, error);  // of a rebuild that did not come to its end
  if (error) return fail_errno(error.value(), "remove " + folder);
  const auto segments = SPILLFS_TRY(open_segments(store, {}));
  const auto index = SPILLFS_TRY(index::RocksdbIndex::open(
      folder, {.hash = {}, .no_space = [&store] { return store.drop_ballast(); }}));
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

ExitCode run_rebuild(const Store& store, const CheckCommand& command, Streams streams) {
  const auto readable = read_index(store);
  if (readable && !command.force) {
    return report({.code = EEXIST,
                   .context = fmt::format("the index of {} can be read and knows more than its "
                                          "segments; --force makes a new one nevertheless",
                                          store.path()),
                   .where = {}},
                  kExitUsage, streams);
  }
  const std::string made = store.index_path() + ".rebuilding";
  ProgressBar progress(command.progress ? &streams.err : nullptr, ProgressBar::Unit::kSegments);
  const auto rebuilt = make_index(store, made, progress, streams);
  progress.clear();
  if (!rebuilt) return report(rebuilt.error(), kExitSystem, streams);
  const auto aside = swap_in(store, made);
  if (!aside) return report(aside.error(), kExitSystem, streams);
  return tell(*rebuilt, *aside, streams);
}

}  // namespace spillfs::fs
