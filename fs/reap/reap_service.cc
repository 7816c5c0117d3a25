// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/reap_service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "fs/reap/reaper.h"
#include "fs/reap/volume_tree.h"
#include "fs/system/background_priority.h"
#include "fs/volume/names/attributes.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kLongestRequest = 4096;  // bytes

class Visitor : public ReapVisitor {
 public:
  Visitor(ReapTree& tree, const ReapRules& rules, ReapReport& report, std::stop_token stop)
      : tree_(tree), rules_(rules), report_(report), stop_(std::move(stop)) {}

  void found(const Orphan& orphan) override {
    if (!report_.request().dry_run) {
      const auto removed = remove_orphan(tree_, rules_, orphan);
      // Somebody came back for it.
      if (!removed && removed.error().code == EBUSY) {
        return spdlog::debug("reap: {}", escaped(removed.error().context));
      }
      if (!removed) return trouble(removed.error());
    }
    report_.add({{"path", orphan.path},
                 {"bytes", orphan.bytes},
                 {"why", orphan.why},
                 {"raw", std::vector<std::uint8_t>(orphan.path.begin(), orphan.path.end())}});
  }
  void trouble(const Error& error) override { report_.add({{"trouble", error.context}}); }
  bool goes_on() override { return !stop_.stop_requested() && !report_.is_abandoned(); }

 private:
  ReapTree& tree_;
  const ReapRules& rules_;
  ReapReport& report_;
  const std::stop_token stop_;
};

}  // namespace

std::string to_text(const ReapRequest& request) {
  return to_line({{"dry_run", request.dry_run},
                  {"older_than", request.older_than},
                  {"view",
                   {{"processes", request.view.pids},
                    {"time", request.view.time},
                    {"mounts", request.view.mounts}}}});
}

Result<ReapRequest> parse_reap_request(std::string_view text) {
  if (text.size() > kLongestRequest) return fail(EINVAL, "the request is too long");
  try {
    const auto json = nlohmann::json::parse(text);
    const auto& view = json.at("view");
    ReapRequest request{.dry_run = json.at("dry_run").get<bool>(),
                        .older_than = json.at("older_than").get<std::int64_t>(),
                        .view = {.pids = view.at("processes").get<std::uint64_t>(),
                                 .time = view.at("time").get<std::uint64_t>(),
                                 .mounts = view.at("mounts").get<std::uint64_t>()}};
    if (request.older_than < 0) return fail(EINVAL, "older than what is to come");
    return request;
  } catch (const nlohmann::json::exception&) {
    return fail(EINVAL, "not a request of 'spillfs reap'");
  }
}

ReapService::ReapService(Volume& volume, Machine machine)
    : volume_(volume), machine_(std::move(machine)) {}

ReapService::~ReapService() { stop(); }

std::unique_ptr<ControlReader> ReapService::open() {
  return std::make_unique<ReportDesk>(
      [this](std::string_view text) -> Result<std::shared_ptr<JsonReport>> {
        return SPILLFS_TRY(ask(SPILLFS_TRY(parse_reap_request(text))));
      });
}

Result<std::shared_ptr<ReapReport>> ReapService::ask(const ReapRequest& request) {
  auto report = std::make_shared<ReapReport>(request);
  if (const std::string other = differences(request.view, view_); !other.empty()) {
    report->finish(fmt::format(
        "this process has another view of the machine than the daemon (of its {}): run 'spillfs "
        "reap' where the daemon runs, outside of containers",
        other));
    return report;
  }
  MutexLock lock(mutex_);
  std::erase_if(waiting_, [](const auto& waiting) { return waiting->is_abandoned(); });
  if (waiting_.size() >= kMostWaiting) return fail(EBUSY, "too many wait already");
  waiting_.push_back(report);
  asked_.notify_all();
  return report;
}

void ReapService::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void ReapService::stop() {
  thread_.request_stop();
  {
    MutexLock lock(mutex_);
    asked_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ReapService::run(const std::stop_token& stop) {
  read_when_idle();
  while (const auto report = next(stop)) search(*report, stop);
}

// Null: it is to end.
std::shared_ptr<ReapReport> ReapService::next(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (waiting_.empty() && !stop.stop_requested()) asked_.wait(mutex_);
  if (stop.stop_requested()) return nullptr;
  auto report = std::move(waiting_.front());
  waiting_.pop_front();
  return report;
}

void ReapService::search(ReapReport& report, const std::stop_token& stop) {
  ReapRules rules{.machine = machine_, .latest = current_time()};
  rules.latest.seconds -= report.request().older_than;
  VolumeTree tree(volume_);
  Visitor visitor(tree, rules, report, stop);
  find_orphans(tree, rules, visitor);
  report.finish(stop.stop_requested() ? "the mount ends" : "");
}

}  // namespace spillfs::fs
