// SPDX-License-Identifier: Apache-2.0
// MetricsFile: keeps a file with the metrics, for node_exporter's textfile collector: written anew
// every 15 seconds under another name and renamed, gone when this ends.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "storage/base/result.h"

namespace spillfs::fs {

class MetricsFile {
 public:
  // `text` is called from its thread.
  MetricsFile(std::string path, std::function<std::string()> text);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

 private:
  Result<> write();
  void run(const std::stop_token& stop);

  const std::string path_;
  const std::function<std::string()> text_;
  std::jthread thread_;
};

}  // namespace spillfs::fs
