// SPDX-License-Identifier: Apache-2.0
// MetricsHttp: answers GET /metrics and GET /healthz on a listening socket. One thread does all
// that concerns the network and waits for no client, so that a slow one takes a place among the
// connections (MetricsConnections) and nothing else. That thread answers /healthz by itself;
// metrics are made by a thread of their own, once for all that have asked meanwhile. Each
// connection has one request.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "fs/status/background_text.h"
#include "fs/status/metrics_connections.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace spillfs::fs {

class MetricsHttp {
 public:
  // Called from its threads: `metrics` from one, `trouble` from another one, which answers all.
  struct Sources {
    std::function<std::string()> metrics;
    std::function<std::string()> trouble;  // why the mount does not answer; empty when it does
  };
  // `socket` listens already, and outlives it.
  MetricsHttp(int socket, Sources sources);
  ~MetricsHttp();
  MetricsHttp(const MetricsHttp&) = delete;
  MetricsHttp& operator=(const MetricsHttp&) = delete;

  // Until a stop is requested. Fails when it can't go on.
  Result<> run(const std::stop_token& stop);

 private:
  struct Client;
  struct Callbacks;  // the library's way to here

  void begin(Client& client);
  void end(Client& client);
  int answer(Client& client, const std::string& method, const std::string& url);
  int answer_metrics(Client& client);
  void wait_for_network();
  void hand_out_texts();
  void end_overdue();
  void wake();

  const Sources sources_;
  Fd wake_;
  MHD_Daemon* server_ = nullptr;
  bool stopping_ = false;
  MetricsConnections connections_;
  std::vector<Client*> asking_;   // for the text that is being made
  std::vector<Client*> waiting_;  // for the next one
  std::unique_ptr<BackgroundText> metrics_;
};

}  // namespace spillfs::fs
