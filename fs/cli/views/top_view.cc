// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/views/top_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "fs/cli/shared/live_mount.h"
#include "fs/system/human.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kClientsShown = 8;
constexpr std::size_t kDirectoriesShown = 8;

// Two looks, and what is between them.
struct Between {
  const TopLook& before;
  const TopLook& after;
  double seconds = 1;

  [[nodiscard]] double rate(std::string_view name) const {
    return (after.metrics.value(name) - before.metrics.value(name)) / seconds;
  }
  [[nodiscard]] std::string size(std::string_view name) const {
    return human_size(after.metrics.value(name));
  }
  [[nodiscard]] std::string size_rate(std::string_view name) const {
    return human_size(rate(name)) + "/s";
  }
  [[nodiscard]] std::uint64_t number(std::string_view name) const {
    return static_cast<std::uint64_t>(after.metrics.value(name));
  }
};

std::string space_lines(const Between& on) {
  return fmt::format(
      "space    {} of {} ({}), {} free, {} reserved for the index, {} dead, {} kept for recycling\n"
      "traffic  {} read, {} written through the daemon, {} files open, {} requests wait, {:.1f} "
      "errors/s\n"
      "memory   staging {} of {}, worker {} resident; {}\n"
      "behind   {} copied by reclaim, {:.1f} segments/s freed, {} scrubbed\n",
      on.size("spillfs_charged_bytes"), on.size("spillfs_size_bytes"),
      percent(on.number("spillfs_charged_bytes"), on.number("spillfs_size_bytes")),
      on.size("spillfs_free_bytes"), on.size("spillfs_reserved_bytes"),
      on.size("spillfs_dead_bytes"), on.size("spillfs_pool_bytes"),
      on.size_rate("spillfs_read_bytes_total"), on.size_rate("spillfs_written_bytes_total"),
      on.number("spillfs_open_handles"), on.number("spillfs_waiting_requests"),
      on.rate("spillfs_request_errors_total"), on.size("spillfs_staging_used_bytes"),
      on.size("spillfs_staging_size_bytes"), on.size("process_resident_memory_bytes"),
      on.after.memory, on.size_rate("spillfs_reclaim_copied_bytes_total"),
      on.rate("spillfs_reclaim_freed_segments_total"), on.size_rate("spillfs_scrub_bytes_total"));
}

std::string troubles(const Between& on) {
  std::string out;
  const auto tell = [&](std::string_view name, std::string_view what) {
    if (on.number(name) != 0) out += fmt::format("  {}: {}", what, on.number(name));
  };
  tell("spillfs_index_read_only", "INDEX READ-ONLY");
  tell("spillfs_damaged_files", "DAMAGED FILES");
  tell("spillfs_slow_operations_total", "slow operations");
  tell("spillfs_worker_restarts_total", "restarts");
  return out.empty() ? out : "!" + out + "\n";
}

std::string operation_lines(const Between& on) {
  struct Row {
    std::string name;
    Latency latency;
  };
  std::vector<Row> rows;
  for (const std::string& name :
       on.after.metrics.values_of("spillfs_requests_total", "operation")) {
    const Latency latency = latency_between(on.before.metrics, on.after.metrics, name);
    if (latency.count > 0) rows.push_back({escaped(name), latency});
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.latency.count > b.latency.count; });
  std::string out = fmt::format("\n{:<16} {:>10} {:>10} {:>10} {:>10}\n", "operation", "a second",
                                "mean", "p50", "p99");
  for (const auto& [name, latency] : rows) {
    out += fmt::format("{:<16} {:>10.1f} {:>10} {:>10} {:>10}\n", name, latency.count / on.seconds,
                       human_time(latency.mean), human_time(latency.p50), human_time(latency.p99));
  }
  if (rows.empty()) out += "(no requests)\n";
  return out;
}

std::string client_lines(const Between& on) {
  if (!on.after.clients.is_array()) return {};
  std::map<int, double> earlier;
  if (on.before.clients.is_array()) {
    for (const Json& client : on.before.clients) {
      earlier[client.value("pid", 0)] = client.value("requests", 0.0);
    }
  }
  std::vector<std::pair<double, std::string>> rows;
  for (const Json& client : on.after.clients) {
    const int pid = client.value("pid", 0);
    const double rate = (client.value("requests", 0.0) - earlier[pid]) / on.seconds;
    if (rate <= 0) continue;
    const std::string command = escaped(client.value("command", ""));
    rows.emplace_back(rate, fmt::format("{:<10} {:<16} {:>10.1f}\n", pid,
                                        pid == 0          ? "(the kernel)"
                                        : command.empty() ? "(ended)"
                                                          : command,
                                        rate));
  }
  std::sort(rows.rbegin(), rows.rend());
  if (rows.size() > kClientsShown) rows.resize(kClientsShown);
  std::string out =
      rows.empty() ? "" : fmt::format("\n{:<10} {:<16} {:>10}\n", "process", "", "a second");
  for (const auto& [rate, row] : rows) out += row;
  return out;
}

std::string directory_lines(const Between& on) {
  const Json& counted = on.after.directories;
  if (!counted.is_object() || !counted.value("counted", false)) return {};
  std::string out = fmt::format("\n{:>10} {:>10}  directories, {:.0f} s ago{}\n", "bytes", "inodes",
                                counted.value("age_seconds", 0.0),
                                counted.value("complete", true) ? "" : ", the first inodes only");
  std::size_t shown = 0;
  for (const Json& directory : counted.value("directories", Json::array())) {
    if (shown++ == kDirectoriesShown) break;
    out += fmt::format("{:>10} {:>10}  {}\n", human_size(directory.value("bytes", 0.0)),
                       directory.value("inodes", 0), escaped(directory.value("path", "")));
  }
  return out;
}

}  // namespace

Result<TopLook> look_at(const std::string& mountpoint) {
  const Json status = read_status(mountpoint);
  TopLook look{.at = std::chrono::steady_clock::now(),
               .metrics = MetricsSample::parse(read_control_text(mountpoint, "metrics")),
               .clients = read_control_json(mountpoint, "clients"),
               .directories = read_control_json(mountpoint, "directories")};
  if (!status.is_object() || look.metrics.empty()) {
    return fail(ENODEV, fmt::format("no live spillfs is mounted on {}", mountpoint));
  }
  look.worker = status.value("worker_pid", std::uint64_t{0});
  look.memory = one_line(status.value("memory", ""));
  return look;
}

std::string top_view(const std::string& mountpoint, const TopLook& before, const TopLook& after) {
  const std::chrono::duration<double> passed = after.at - before.at;
  const TopLook nothing{};  // the counters of another process begin at 0
  const Between on{.before = before.worker == after.worker ? before : nothing,
                   .after = after,
                   .seconds = std::max(passed.count(), 1e-3)};
  return fmt::format("spillfs {}  {:%T}, {:.1f} s\n", escaped(mountpoint),
                     fmt::localtime(std::time(nullptr)), passed.count()) +
         troubles(on) + space_lines(on) + operation_lines(on) + client_lines(on) +
         directory_lines(on);
}

}  // namespace spillfs::fs
