// SPDX-License-Identifier: Apache-2.0
// MetricsFile: keeps a file with the metrics, for node_exporter's textfile collector: written anew
// every 15 seconds under another name and renamed, gone when this ends. Its directory is looked at
// each time: only root and the daemon's user may be able to change what is in it.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "storage/base/result.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {

class MetricsFile {
 public:
  // `text` is called from its thread.
  MetricsFile(std::string path, std::function<std::string()> text);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

 private:
  Result<TrustedDirectory> folder() const;
  Result<> write() const;
  void run(const std::stop_token& stop);

  const std::string path_;
  const std::string name_;  // its last part
  const std::function<std::string()> text_;
  std::jthread thread_;
};

}  // namespace spillfs::fs
