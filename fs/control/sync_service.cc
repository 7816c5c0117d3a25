// SPDX-License-Identifier: Apache-2.0
#include "fs/control/sync_service.h"

#include <string_view>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::string_view kRequest = "sync";

}  // namespace

std::unique_ptr<ControlReader> SyncService::open() {
  return std::make_unique<ReportDesk>(
      [this](std::string_view request) -> Result<std::shared_ptr<JsonReport>> {
        if (request.ends_with('\n')) request.remove_suffix(1);
        if (request != kRequest) return fail(EINVAL, "not a request of 'spillfs sync'");
        return ask();
      });
}

std::shared_ptr<JsonReport> SyncService::ask() {
  auto report = std::make_shared<JsonReport>();
  MutexLock lock(mutex_);
  waiting_.push_back(report);
  asked_.notify_all();
  return report;
}

void SyncService::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void SyncService::stop() {
  thread_.request_stop();
  {
    MutexLock lock(mutex_);
    asked_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mutex_);
  for (const auto& report : std::exchange(waiting_, {})) report->finish("the mount ends");
}

void SyncService::run(const std::stop_token& stop) {
  for (Reports asked = next(stop); !asked.empty(); asked = next(stop)) {
    const auto synced = sync_();
    for (const auto& report : asked) report->finish(synced ? "" : synced.error().context);
  }
}

// None: it is to end.
SyncService::Reports SyncService::next(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (waiting_.empty() && !stop.stop_requested()) asked_.wait(mutex_);
  return stop.stop_requested() ? Reports() : std::exchange(waiting_, {});
}

}  // namespace spillfs::fs
