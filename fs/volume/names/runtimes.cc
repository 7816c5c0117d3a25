// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/runtimes.h"

#include <fmt/format.h>

#include <vector>

namespace spillfs::fs {
namespace {

constexpr const char* kUuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";

std::regex with_uuid(std::string_view before, std::string_view after = "") {
  return std::regex(fmt::format("{}{}{}", before, kUuid, after));
}

// Compiled once; a function's own, so that nothing runs before main().
const std::vector<RuntimeDirectory>& directories() {
  static const std::vector<RuntimeDirectory> table{
      // Made by an I/O worker, whose files the raylet goes on with when that worker dies.
      {"Ray", std::regex(".*"), std::regex("ray_spilled_objects_[0-9a-f]{56}"),
       std::regex("raylet"), ""},
      {"Dask", std::regex("dask-(scratch|worker)-space.*"), std::regex("worker-[a-z0-9_]{8}"),
       std::regex("(python|dask).*"), ".dirlock"},
      // Not a YARN application's: its shuffle service reads them when the executor is gone.
      {"Spark", std::regex("(?!application_).*"), with_uuid("(blockmgr|spark|executor)-"),
       std::regex("java"), ""},
      // A task manager serves its shuffles itself: nobody reads them when it is gone.
      {"Flink", std::regex(".*"), with_uuid("flink-(io|netty-shuffle)-"), std::regex("java"), ""},
      {"DataFusion", std::regex(".*"), std::regex("datafusion-[A-Za-z0-9]{6}"), std::nullopt, ""},
      // Polars removes such directories of processes that are gone as well, when it spills next.
      {"Polars", std::regex(".*"), std::regex("[0-9]{1,10}"), std::nullopt, "",
       with_uuid("spill-.+-", "\\.[a-z]+"), RuntimeDirectory::Named::kByNumber},
      // Versions before 1.31 spill into POLARS_TEMP_DIR/polars.
      {"Polars", std::regex("sort|group_by"), with_uuid(""), std::nullopt, "",
       std::regex("\\.lock|[0-9_]+(_pass)?\\.ipc|[0-9]+")},
      // The main process's, whose pool of processes reads it, too.
      {"HF datasets", std::regex(".*"), std::regex("hf_datasets-[a-z0-9_]{8}"),
       std::regex("python.*"), ""},
  };
  return table;
}

struct WholeFiles {
  std::string_view runtime;
  std::string_view directory_prefix;  // compared first: it costs every create
  std::string_view prefix;
  std::regex name;
};

const std::vector<WholeFiles>& whole_files() {
  static const std::vector<WholeFiles> table{
      {"Ray", "ray_spilled_objects_", "", std::regex("[0-9a-f]{32}-multi-[0-9]+")},
      // Since 2.0 with the process's number.
      {"DuckDB", "", "duckdb_temp_",
       std::regex("duckdb_temp_([0-9]+_[0-9]+_)?"
                  "(storage_[A-Z0-9]+-[0-9]+\\.tmp|block-[0-9]+\\.block)")},
  };
  return table;
}

bool matches(std::string_view text, const std::regex& pattern) {
  return std::regex_match(text.begin(), text.end(), pattern);
}

}  // namespace

const RuntimeDirectory* runtime_directory(std::string_view parent, std::string_view name) {
  for (const RuntimeDirectory& known : directories()) {
    if (matches(name, known.name) && matches(parent, known.parent)) return &known;
  }
  return nullptr;
}

bool is_named_by(const RuntimeDirectory& directory, std::string_view name, const Creator& creator) {
  if (directory.named == RuntimeDirectory::Named::kByName) return true;
  return !creator.processes.empty() && name == std::to_string(creator.processes.front().pid);
}

std::optional<std::size_t> owners(const RuntimeDirectory& directory, const Creator& creator) {
  if (creator.processes.empty()) return std::nullopt;
  if (!directory.owner) return 1;
  for (std::size_t count = creator.processes.size(); count > 0; --count) {
    if (matches(creator.processes[count - 1].name, *directory.owner)) return count;
  }
  return std::nullopt;
}

std::string_view writes_whole_files(std::string_view directory, std::string_view name) {
  for (const WholeFiles& known : whole_files()) {
    if (directory.starts_with(known.directory_prefix) && name.starts_with(known.prefix) &&
        matches(name, known.name)) {
      return known.runtime;
    }
  }
  return {};
}

}  // namespace spillfs::fs
