// SPDX-License-Identifier: Apache-2.0
// MetricsServer: answers GET /metrics and GET /healthz over HTTP for as long as it lives, from
// threads of its own. An address that is in use is tried again every few seconds: the mount does
// not depend on it.
#pragma once

#include <memory>
#include <thread>

#include "fs/status/metrics_http.h"
#include "fs/status/metrics_listener.h"

namespace spillfs::fs {

class MetricsServer {
 public:
  MetricsServer(std::unique_ptr<MetricsListener> listener, MetricsHttp::Sources sources);

 private:
  Result<> serve(const std::stop_token& stop);

  const std::unique_ptr<MetricsListener> listener_;
  const MetricsHttp::Sources sources_;
  const std::jthread thread_;
};

}  // namespace spillfs::fs
