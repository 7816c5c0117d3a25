// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/views/status_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "fs/system/human.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

using Json = nlohmann::json;

std::uint64_t number_of(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
}

std::string text_of(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string size_of(const Json& from, const char* key) {
  return human_size(static_cast<double>(number_of(from, key)));
}

class Report {
 public:
  void group(std::string_view name) { text_ += fmt::format("{}\n", name); }
  void line(std::string_view name, const std::string& value) {
    if (!value.empty()) text_ += fmt::format("  {:<14} {}\n", name, one_line(value));
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string state_of(const Json& status) {
  std::string state = "serves";
  const std::string index = text_of(status, "index");
  if (status.value("read_only", false)) state = "serves, mounted read-only";
  if (index.starts_with("read-only")) state = "READ-ONLY: " + index.substr(index.find(' ') + 1);
  if (number_of(status, "damaged_files") != 0) state += ", HAS DAMAGED FILES";
  return state;
}

// "CAP_SYS_ADMIN; no new privileges; system calls filtered; OOM score -500"
std::string rights_text(const Json& process) {
  std::vector<std::string> parts;
  std::vector<std::string> capabilities;
  for (const Json& each : process.value("capabilities", Json::array())) {
    if (each.is_string()) capabilities.push_back(each.get<std::string>());
  }
  parts.push_back(capabilities.empty() ? "no capabilities"
                                       : fmt::format("{}", fmt::join(capabilities, " ")));
  parts.emplace_back(process.value("no_new_privileges", false) ? "no new privileges"
                                                               : "may get new privileges");
  parts.emplace_back(process.value("seccomp", false) ? "system calls filtered"
                                                     : "system calls not filtered");
  parts.push_back(fmt::format("OOM score {}", process.value("oom_score_adj", 0)));
  return fmt::format("{}", fmt::join(parts, "; "));
}

void add_rights(const Json& status, Report& out) {
  const auto rights = status.find("rights");
  if (rights == status.end() || !rights->is_object()) return;
  for (const char* process : {"supervisor", "worker"}) {
    const auto found = rights->find(process);
    if (found != rights->end() && found->is_object()) out.line(process, rights_text(*found));
  }
  out.line("sandbox", text_of(status, "sandbox"));
}

void add_state(const Json& status, Report& out) {
  out.group(escaped(text_of(status, "mountpoint")));
  out.line("state", state_of(status));
  out.line("store", text_of(status, "store"));
  out.line("version", text_of(status, "version"));
  out.line("processes", fmt::format("supervisor {}, worker {}", number_of(status, "supervisor_pid"),
                                    number_of(status, "worker_pid")));
  out.line("kernel", text_of(status, "kernel"));
  add_rights(status, out);
}

// Nothing where nothing is reserved: a quota ends before, or the index has a disk of its own.
std::string reserve_of(const Json& of) {
  if (number_of(of, "reserved_bytes") == 0) return {};
  return fmt::format(", {} reserved for the index", size_of(of, "reserved_bytes"));
}

void add_directories(const Json& status, Report& out) {
  const auto directories = status.find("directories");
  if (directories == status.end() || !directories->is_array()) return;
  for (const Json& directory : *directories) {
    out.line("disk", fmt::format("{}: {} free of {} ({}){}{}", text_of(directory, "path"),
                                 size_of(directory, "free_bytes"), size_of(directory, "size_bytes"),
                                 percent(number_of(directory, "free_bytes"),
                                         number_of(directory, "size_bytes")),
                                 reserve_of(directory),
                                 directory.value("healthy", true) ? "" : ", LEFT OUT: it failed"));
  }
}

void add_space(const Json& status, Report& out) {
  const std::uint64_t size = number_of(status, "size_bytes");
  out.group("space");
  out.line("used", fmt::format("{} of {} ({}), {} free{}", size_of(status, "charged_bytes"),
                               size_of(status, "size_bytes"),
                               percent(number_of(status, "charged_bytes"), size),
                               size_of(status, "free_bytes"), reserve_of(status)));
  out.line("to reclaim", fmt::format("{} dead, {} kept for recycling",
                                     size_of(status, "dead_bytes"), size_of(status, "pool_bytes")));
  if (number_of(status, "quota_bytes") != 0) out.line("quota", size_of(status, "quota_bytes"));
  if (number_of(status, "user_quota_bytes") != 0) {
    out.line("each user's", size_of(status, "user_quota_bytes"));
  }
  out.line("inodes", std::to_string(number_of(status, "inodes")));
  add_directories(status, out);
}

void add_activity(const Json& status, Report& out) {
  std::uint64_t requests = 0;
  if (const auto all = status.find("requests"); all != status.end() && all->is_object()) {
    for (const auto& [name, count] : all->items()) requests += count.get<std::uint64_t>();
  }
  out.group("activity");
  out.line("requests", fmt::format("{} so far, {} wait, {} were slow", requests,
                                   number_of(status, "waiting_requests"),
                                   number_of(status, "slow_operations")));
  out.line("bytes", fmt::format("{} read, {} written through the daemon",
                                size_of(status, "read_bytes"), size_of(status, "written_bytes")));
  out.line("open files", std::to_string(number_of(status, "open_handles")));
  if (number_of(status, "reaped") != 0) {
    out.line("reaped", fmt::format("{} files and directories, {}", number_of(status, "reaped"),
                                   size_of(status, "reaped_bytes")));
  }
  out.line(
      "large files",
      fmt::format("{} cached, {} direct, {} passthrough so far", number_of(status, "cached_files"),
                  number_of(status, "direct_files"), number_of(status, "passthrough_files")));
}

void add_memory(const Json& status, Report& out) {
  const std::uint64_t staging = number_of(status, "staging_bytes");
  const std::uint64_t free = number_of(status, "staging_free_bytes");
  out.group("memory");
  out.line("machine", text_of(status, "memory"));
  if (staging != 0 && free <= staging) {
    out.line("staging", fmt::format("{} of {} used ({})", human_size(double(staging - free)),
                                    human_size(double(staging)), percent(staging - free, staging)));
  }
  out.line("worker", size_of(status, "resident_bytes") + " resident");
}

void add_durability(const Json& status, Report& out) {
  out.group("durability");
  out.line("mode", text_of(status, "durability"));
  out.line("syncs", fmt::format("{} asked for, done in {}", number_of(status, "sync_requests"),
                                number_of(status, "sync_groups")));
  out.line("unsynced", status.value("unsynced", false) ? "something" : "nothing");
  out.line("index", text_of(status, "index"));
  out.line("scrub",
           fmt::format("{} compared, {} damaged files, last full pass: {}",
                       size_of(status, "scrubbed_bytes"), number_of(status, "damaged_files"),
                       text_of(status, "last_full_scrub")));
  out.line("uncompared",
           fmt::format("for {:.1f} hours at most",
                       double(number_of(status, "oldest_uncompared_seconds")) / 3600));
}

void add_restarts(const Json& status, Report& out) {
  out.group("restarts");
  out.line("restarts", fmt::format("{} restarts, {} upgrades, {} failed upgrades",
                                   number_of(status, "restarts"), number_of(status, "upgrades"),
                                   number_of(status, "failed_upgrades")));
  out.line("if one dies", text_of(status, "when_the_worker_dies"));
}

}  // namespace

std::string status_report(const Json& status) {
  Report out;
  add_state(status, out);
  add_space(status, out);
  add_activity(status, out);
  add_memory(status, out);
  add_durability(status, out);
  add_restarts(status, out);
  return out.text();
}

}  // namespace spillfs::fs
