// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_http.h"

#include <microhttpd.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

namespace spillfs::fs {
namespace {

using Clock = MetricsConnections::Clock;

constexpr const char* kExposition = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kPlain = "text/plain; charset=utf-8";
constexpr std::size_t kMostWaiting = 64;  // for a text
// Those that were told to go and those that wait for a text while they do are counted as well.
constexpr unsigned kMostConnections = 3 * MetricsConnections::kMost;
constexpr std::size_t kMemory =
    std::size_t{16} * 1024;  // bytes that a connection's request may take

int reply(MHD_Connection* connection, unsigned status, const std::string& text,
          const char* type = kPlain) {
  MHD_Response* response = MHD_create_response_from_buffer(
      text.size(), const_cast<char*>(text.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  const auto queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return queued;
}

}  // namespace

struct MetricsHttp::Client {
  MHD_Connection* connection = nullptr;
  int socket = -1;
  BackgroundText::Text text;  // the metrics that it has waited for
};

// The library is C: no exception may get there.
struct MetricsHttp::Callbacks {
  static void notify(void* self, MHD_Connection* connection, void** context,
                     MHD_ConnectionNotificationCode what) {
    auto& http = *static_cast<MetricsHttp*>(self);
    try {
      if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        auto client = std::make_unique<Client>();
        client->connection = connection;
        client->socket =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        http.begin(*client);
        *context = client.release();
      } else if (*context != nullptr) {
        const std::unique_ptr<Client> client(static_cast<Client*>(*context));
        *context = nullptr;
        http.end(*client);
      }
    } catch (const std::exception& error) {  // no memory: it is refused at its request
      spdlog::warn("metrics: {}", error.what());
    }
  }

  static MHD_Result handle(void* self, MHD_Connection* connection, const char* url,
                           const char* method, const char* /*version*/, const char* /*upload*/,
                           std::size_t* /*upload_size*/, void** /*request*/) {
    try {
      const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
      if (info == nullptr || info->socket_context == nullptr) return MHD_NO;
      auto& client = *static_cast<Client*>(info->socket_context);
      return static_cast<MHD_Result>(static_cast<MetricsHttp*>(self)->answer(client, method, url));
    } catch (const std::exception& error) {
      spdlog::warn("metrics: {}", error.what());
      return MHD_NO;  // it is closed
    }
  }
};

MetricsHttp::MetricsHttp(int socket, Sources sources)
    : sources_(std::move(sources)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      server_(MHD_start_daemon(
          MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, Callbacks::handle, this,
          MHD_OPTION_LISTEN_SOCKET, socket, MHD_OPTION_NOTIFY_CONNECTION, Callbacks::notify, this,
          MHD_OPTION_CONNECTION_LIMIT, kMostConnections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
          kMemory, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END)),
      metrics_(std::make_unique<BackgroundText>([this] { return sources_.metrics(); },
                                                [this] { wake(); })) {}

MetricsHttp::~MetricsHttp() {
  metrics_.reset();
  if (server_ == nullptr) return;
  stopping_ = true;
  for (Client* client : asking_) MHD_resume_connection(client->connection);
  for (Client* client : waiting_) MHD_resume_connection(client->connection);
  MHD_run(server_);             // it must not end with any that is suspended
  MHD_quiesce_daemon(server_);  // the socket is not the library's to close
  MHD_stop_daemon(server_);
}

Result<> MetricsHttp::run(const std::stop_token& stop) {
  if (server_ == nullptr) return fail_errno(errno, "start to serve metrics");
  const std::stop_callback when_stopped(stop, [this] { wake(); });
  while (!stop.stop_requested()) {
    wait_for_network();
    hand_out_texts();
    if (MHD_run(server_) != MHD_YES) return fail(EIO, "the HTTP server has failed");
    end_overdue();
  }
  return {};
}

// Or until wake(), or until the next connection's time is up.
void MetricsHttp::wait_for_network() {
  std::chrono::milliseconds patience{-1};
  if (const auto next = connections_.next_deadline()) {
    patience = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
    patience = std::max(patience, std::chrono::milliseconds{0});
  }
  MHD_UNSIGNED_LONG_LONG soon = 0;  // what the library has still to do
  if (MHD_get_timeout(server_, &soon) == MHD_YES && soon == 0) patience = {};
  const int network = MHD_get_daemon_info(server_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  std::array<pollfd, 2> files{{{.fd = network, .events = POLLIN, .revents = 0},
                               {.fd = wake_.get(), .events = POLLIN, .revents = 0}}};
  ::poll(files.data(), files.size(), static_cast<int>(patience.count()));
  std::uint64_t count = 0;
  ::eventfd_read(wake_.get(), &count);
}

void MetricsHttp::wake() { ::eventfd_write(wake_.get(), 1); }

void MetricsHttp::begin(Client& client) {
  const auto goes = connections_.add(client.socket, peer_of(client.socket), Clock::now());
  if (goes) ::shutdown(*goes, SHUT_RDWR);
}

void MetricsHttp::end(Client& client) {
  connections_.remove(client.socket);
  std::erase(asking_, &client);
  std::erase(waiting_, &client);
}

void MetricsHttp::end_overdue() {
  for (const int socket : connections_.take_overdue(Clock::now())) ::shutdown(socket, SHUT_RDWR);
}

int MetricsHttp::answer(Client& client, const std::string& method, const std::string& url) {
  if (method != MHD_HTTP_METHOD_GET && method != MHD_HTTP_METHOD_HEAD) {
    return reply(client.connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
  }
  if (url == "/metrics") return answer_metrics(client);
  if (url != "/healthz") return reply(client.connection, MHD_HTTP_NOT_FOUND, "not found\n");
  const std::string why = sources_.trouble();
  if (why.empty()) return reply(client.connection, MHD_HTTP_OK, "ok\n");
  return reply(client.connection, MHD_HTTP_SERVICE_UNAVAILABLE, why + "\n");
}

// Called again when the client goes on, with the text.
int MetricsHttp::answer_metrics(Client& client) {
  if (client.text && !client.text->empty()) {
    return reply(client.connection, MHD_HTTP_OK, *client.text, kExposition);
  }
  if (client.text || stopping_ || asking_.size() + waiting_.size() >= kMostWaiting) {
    return reply(client.connection, MHD_HTTP_SERVICE_UNAVAILABLE, "busy\n");
  }
  waiting_.push_back(&client);
  MHD_suspend_connection(client.connection);
  wake();
  return MHD_YES;
}

void MetricsHttp::hand_out_texts() {
  if (auto text = metrics_->take()) {
    for (Client* client : std::exchange(asking_, {})) {
      client->text = text;
      MHD_resume_connection(client->connection);
    }
  }
  if (!asking_.empty() || waiting_.empty()) return;
  asking_ = std::exchange(waiting_, {});
  metrics_->ask();
}

}  // namespace spillfs::fs
