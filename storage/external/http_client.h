// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 through libcurl. Connections are kept and used again; redirects are not followed; a
// server's certificate is always verified.
//
// Threads: perform() may be called from any thread; a transfer blocks its caller.
#pragma once

#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/mutex.h"
#include "storage/external/s3_signer.h"

namespace spillfs::storage::external {

struct HttpSettings {
  std::chrono::milliseconds idle_timeout{60000};  // without any progress; at least a second
  std::string ca_file;                            // PEM; empty: the system's
};

enum class HttpConnection {
  kReused,
  // libcurl sends a request twice when a kept connection turns out to be dead; this one has to be
  // counted.
  kFresh,
};

struct HttpRequest {
  std::string method;
  std::string url;
  Headers headers;
  Bytes body;
  MutableBytes into;  // takes the body of a 206; not empty: a 200 is refused
  std::chrono::milliseconds limit{0};
  HttpConnection connection = HttpConnection::kReused;
};

enum class HttpEnd {
  kWhole,   // the reply came, whatever it says
  kBroken,  // no connection, a reset, a time-out, a body too short: another try may do better
  kRefused,
};

struct HttpReply {
  HttpEnd end = HttpEnd::kWhole;
  std::string problem;  // why it is not whole
  bool sent = false;    // the server may have seen the request, or a part of it
  int status = 0;       // 0: no reply came
  Headers headers;
  std::string body;          // what did not go `into`; at most 16 MiB
  std::size_t received = 0;  // bytes in `into`, also when it broke off

  // Empty when there is no such header.
  [[nodiscard]] std::string header(const std::string& name) const;
};

class HttpClient {
 public:
  explicit HttpClient(HttpSettings settings);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpReply perform(const HttpRequest& request) EXCLUDES(mutex_);

 private:
  class Handle;

  std::unique_ptr<Handle> take_handle() EXCLUDES(mutex_);
  void give_back(std::unique_ptr<Handle> handle) EXCLUDES(mutex_);

  const HttpSettings settings_;
  Mutex mutex_;
  // Each keeps its connections; the one given back last is taken first.
  std::vector<std::unique_ptr<Handle>> idle_ GUARDED_BY(mutex_);
};

// "Fri, 24 May 2013 00:00:00 GMT"; nothing for what is no date.
std::optional<std::time_t> parse_http_date(const std::string& text);

struct HttpEndpoint {
  std::string scheme;     // "http" or "https"
  std::string authority;  // "host" or "host:port", as in the Host header
  std::string path;       // "" or "/path", without a '/' at its end
};

// "http://127.0.0.1:9000". EINVAL for anything that is not http or https, or has a user or a query;
// the text is not repeated, there may be a password in it.
Result<HttpEndpoint> parse_endpoint(const std::string& text);

}  // namespace spillfs::storage::external
