// SPDX-License-Identifier: Apache-2.0
#include "fs/sync_service.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::string_view kRequest = "sync";

nlohmann::json last_line(const std::string& error = {}) {
  nlohmann::json line{{"done", true}};
  if (!error.empty()) line["error"] = error;
  return line;
}

class Desk : public ControlReader {
 public:
  explicit Desk(SyncService& service) : service_(service) {}

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    if (report_ == nullptr) return 0;
    return report_->read(into, offset);
  }
  Result<> write(Bytes from) override {
    if (report_ != nullptr) return fail(EINVAL, "one request for each open");
    std::string_view text = as_text(from);
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text != kRequest) return fail(EINVAL, "not a request of 'spillfs sync'");
    report_ = service_.ask();
    return {};
  }

 private:
  SyncService& service_;
  std::shared_ptr<JsonReport> report_;
};

}  // namespace

std::unique_ptr<ControlReader> SyncService::open() { return std::make_unique<Desk>(*this); }

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
  for (const auto& report : std::exchange(waiting_, {})) report->add(last_line("the mount ends"));
}

void SyncService::run(const std::stop_token& stop) {
  for (Reports asked = next(stop); !asked.empty(); asked = next(stop)) {
    const auto synced = sync_();
    const auto line = last_line(synced ? "" : synced.error().context);
    for (const auto& report : asked) report->add(line);
  }
}

// None: it is to end.
SyncService::Reports SyncService::next(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (waiting_.empty() && !stop.stop_requested()) asked_.wait(mutex_);
  return stop.stop_requested() ? Reports() : std::exchange(waiting_, {});
}

}  // namespace spillfs::fs
