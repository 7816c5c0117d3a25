// SPDX-License-Identifier: Apache-2.0
// MetricsServer: answers GET /metrics and GET /healthz over HTTP for as long as it lives, from
// threads of its own. An address that is in use is tried again every few seconds: the mount does
// not depend on it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "fs/metrics_address.h"

namespace httplib {
class Server;
}

namespace spillfs::fs {

class MetricsServer {
 public:
  // Called from its threads.
  struct Sources {
    std::function<std::string()> metrics;
    std::function<std::string()> trouble;  // why the mount does not answer; empty when it does
  };
  MetricsServer(MetricsAddress address, Sources sources);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

 private:
  Result<> bind();
  void serve(const std::stop_token& stop);

  const MetricsAddress address_;
  const std::unique_ptr<httplib::Server> server_;
  bool has_socket_ = false;  // made by us; the thread's until it has ended
  std::jthread thread_;
};

}  // namespace spillfs::fs
