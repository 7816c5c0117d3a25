// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_file.h"

#include <spdlog/spdlog.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <utility>

#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kEvery{15};
constexpr mode_t kForTheCollector = 0644;  // it runs as another user

}  // namespace

MetricsFile::MetricsFile(std::string path, std::function<std::string()> text)
    : path_(std::move(path)),
      name_(std::filesystem::path(path_).filename()),
      text_(std::move(text)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

MetricsFile::~MetricsFile() {
  thread_.request_stop();
  thread_.join();
  if (const auto in = folder(); in) static_cast<void>(in->remove(name_));
}

Result<TrustedDirectory> MetricsFile::folder() const {
  return TrustedDirectory::open(std::filesystem::path(path_).parent_path(), Trust::of_process());
}

// The collector reads names that end in .prom only, not the one it is written under.
Result<> MetricsFile::write() const {
  const std::string text = text_();
  const auto in = SPILLFS_TRY(folder());
  return in.replace_file(name_, text, kForTheCollector, Durable::kNo);
}

void MetricsFile::run(const std::stop_token& stop) {
  bool failed = false;
  while (!stop.stop_requested()) {
    const auto written = write();
    if (!written && !failed) spdlog::warn("metrics_file: {}", describe(written.error()));
    failed = !written;
    pause(kEvery, stop);
  }
}

}  // namespace spillfs::fs
