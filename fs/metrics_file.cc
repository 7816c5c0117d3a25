// SPDX-License-Identifier: Apache-2.0
#include "fs/metrics_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <utility>

#include "storage/base/fd.h"
#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kEvery{15};
constexpr mode_t kForTheCollector = 0644;  // it runs as another user

}  // namespace

MetricsFile::MetricsFile(std::string path, std::function<std::string()> text)
    : path_(std::move(path)),
      text_(std::move(text)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

MetricsFile::~MetricsFile() {
  thread_.request_stop();
  thread_.join();
  ::unlink(path_.c_str());
}

// The collector reads names that end in .prom only, not this one.
Result<> MetricsFile::write() {
  const std::string temporary = path_ + ".new";
  const std::string text = text_();
  ::unlink(temporary.c_str());  // whatever it is: nothing else is written to
  const Fd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kForTheCollector));
  if (!file) return fail_errno(errno, "make " + temporary);
  if (::fchmod(file.get(), kForTheCollector) != 0) return fail_errno(errno, temporary);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno == 0 ? ENOSPC : errno, "write " + temporary);
  }
  if (::rename(temporary.c_str(), path_.c_str()) != 0) return fail_errno(errno, "name " + path_);
  return {};
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
