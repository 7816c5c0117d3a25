// SPDX-License-Identifier: Apache-2.0
#include "fs/metrics_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "storage/base/fd.h"
#include "storage/base/pause.h"
#include "storage/write_pool.h"

namespace spillfs::fs {
namespace {

constexpr const char* kExposition = "text/plain; version=0.0.4; charset=utf-8";
constexpr unsigned kThreads = 2;
constexpr std::chrono::seconds kTryAgain{5};
constexpr std::chrono::seconds kLook{1};  // whether the server has ended by itself
constexpr std::chrono::milliseconds kStopPause{5};
constexpr time_t kPatience = 1;  // seconds, with a client
constexpr int kUnavailable = 503;

int family_of(const MetricsAddress& address) {
  switch (address.family) {
    case MetricsAddress::Family::kIpv4:
      return AF_INET;
    case MetricsAddress::Family::kIpv6:
      return AF_INET6;
    case MetricsAddress::Family::kUnix:
      break;
  }
  return AF_UNIX;
}

// True where that can't be told, too.
bool is_served(const std::string& path) {
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::strncpy(to.sun_path, path.c_str(), sizeof(to.sun_path) - 1);
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0 ||
         errno != ECONNREFUSED;
}

// What a process that died has left of a socket; nothing else is removed.
Result<> clear_stale(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? Result<>() : fail_errno(errno, path);
  }
  if (!S_ISSOCK(found.st_mode)) return fail(EEXIST, path + " is there and is not a socket");
  if (is_served(path)) return fail(EADDRINUSE, path + " is another process's");
  if (::unlink(path.c_str()) != 0) return fail_errno(errno, "remove " + path);
  return {};
}

bool is_at(const MetricsAddress& address, int socket) {
  sockaddr_storage found{};
  socklen_t size = sizeof(found);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&found), &size) != 0) return false;
  if (found.ss_family != family_of(address)) return false;
  switch (address.family) {
    case MetricsAddress::Family::kIpv4:
      return ntohs(reinterpret_cast<const sockaddr_in&>(found).sin_port) == address.port;
    case MetricsAddress::Family::kIpv6:
      return ntohs(reinterpret_cast<const sockaddr_in6&>(found).sin6_port) == address.port;
    case MetricsAddress::Family::kUnix:
      return reinterpret_cast<const sockaddr_un&>(found).sun_path == address.host;
  }
  return false;
}

// The library waits for its clients and does not tell which it has: they are looked for among what
// this process has open. A client that sends a byte now and then would keep it for ever.
void shut_down_connections(const MetricsAddress& address) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    int file = -1;
    const std::string name = entry.path().filename().string();
    std::from_chars(name.data(), name.data() + name.size(), file);
    if (is_at(address, file)) ::shutdown(file, SHUT_RDWR);
  }
}

// The library's own ends the process where no more threads may be.
class Threads final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> call) override { pool_.submit(std::move(call)); }
  void shutdown() override {}

 private:
  storage::WritePool pool_{kThreads};
};

void set_options(httplib::Server& server) {
  server.new_task_queue = [] { return new Threads; };
  // Not SO_REUSEPORT, which is what it sets by itself: two servers would share the port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server.set_read_timeout(kPatience);
  server.set_write_timeout(kPatience);
  server.set_keep_alive_timeout(1);
  server.set_payload_max_length(0);
}

}  // namespace

MetricsServer::MetricsServer(MetricsAddress address, Sources sources)
    : address_(std::move(address)), server_(std::make_unique<httplib::Server>()) {
  set_options(*server_);
  server_->set_address_family(family_of(address_));
  server_->Get("/metrics", [metrics = std::move(sources.metrics)](const httplib::Request&,
                                                                  httplib::Response& response) {
    response.set_content(metrics(), kExposition);
  });
  server_->Get("/healthz", [trouble = std::move(sources.trouble)](const httplib::Request&,
                                                                  httplib::Response& response) {
    const std::string why = trouble();
    if (!why.empty()) response.status = kUnavailable;
    response.set_content(why.empty() ? "ok\n" : why + "\n", "text/plain; charset=utf-8");
  });
  thread_ = std::jthread([this](const std::stop_token& stop) {
    try {
      serve(stop);
    } catch (const std::exception& error) {  // no more threads
      spdlog::error("metrics are no longer served on {}: {}", address_.host, error.what());
    }
  });
}

MetricsServer::~MetricsServer() {
  thread_.request_stop();
  thread_.join();
  if (has_socket_) ::unlink(address_.host.c_str());
}

// A socket's file is the owner's from the start: the daemon's umask leaves others nothing.
Result<> MetricsServer::bind() {
  const bool local = address_.family == MetricsAddress::Family::kUnix;
  if (local) SPILLFS_TRY(clear_stale(address_.host));
  errno = 0;
  if (!server_->bind_to_port(address_.host, local ? 1 : address_.port)) {
    return fail_errno(errno == 0 ? EADDRINUSE : errno,
                      local ? address_.host : fmt::format("{}:{}", address_.host, address_.port));
  }
  has_socket_ = local;
  // Not what someone may have put in its place meanwhile.
  if (local &&
      ::fchmodat(AT_FDCWD, address_.host.c_str(), S_IRUSR | S_IWUSR, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, address_.host);
  }
  return {};
}

void MetricsServer::serve(const std::stop_token& stop) {
  for (bool told = false; !stop.stop_requested();) {
    const auto bound = bind();
    if (bound) break;
    if (!std::exchange(told, true)) {
      spdlog::warn("metrics are not served yet: {}", describe(bound.error()));
    }
    pause(kTryAgain, stop);
  }
  // stop() does nothing before the server has begun to listen.
  const std::jthread stopper([this, &stop](const std::stop_token& ended) {
    while (!stop.stop_requested() && !ended.stop_requested()) pause(kLook, stop);
    while (!ended.stop_requested()) {
      server_->stop();
      shut_down_connections(address_);
      std::this_thread::sleep_for(kStopPause);
    }
  });
  if (!stop.stop_requested() && !server_->listen_after_bind() && !stop.stop_requested()) {
    spdlog::error("metrics are no longer served on {}", address_.host);
  }
}

}  // namespace spillfs::fs
