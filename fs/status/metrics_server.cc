// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_server.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "fs/system/guarded.h"
#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kTryAgain{5};

}  // namespace

MetricsServer::MetricsServer(std::unique_ptr<MetricsListener> listener,
                             MetricsHttp::Sources sources)
    : listener_(std::move(listener)),
      sources_(std::move(sources)),
      thread_([this](const std::stop_token& stop) {
        const auto run = [&] { return serve(stop); };
        if (const auto served = guarded(run); !served) {
          spdlog::error("metrics are no longer served on {}: {}", listener_->address().host,
                        describe(served.error()));
        }
      }) {}

Result<> MetricsServer::serve(const std::stop_token& stop) {
  for (bool told = false; !stop.stop_requested();) {
    const auto listens = listener_->listen();
    if (listens) break;
    if (!std::exchange(told, true)) {
      spdlog::warn("metrics are not served yet: {}", describe(listens.error()));
    }
    pause(kTryAgain, stop);
  }
  if (stop.stop_requested()) return {};
  MetricsHttp http(listener_->socket(), sources_);
  return http.run(stop);
}

}  // namespace spillfs::fs
