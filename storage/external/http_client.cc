// SPDX-License-Identifier: Apache-2.0
#include "storage/external/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace spillfs::storage::external {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxIdleHandles = 32;
constexpr std::size_t kMaxText = 16 * kMiB;
constexpr milliseconds kConnectTimeout{30000};
constexpr long kSocketBuffer = 512L * 1024;  // libcurl's largest for receiving

struct FreeList {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

// A transfer as libcurl's callbacks see it.
struct Transfer {
  CURL* curl = nullptr;
  const HttpRequest& request;
  HttpReply& reply;
};

long status_of(CURL* curl) {
  long status = 0;
  ::curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::size_t take_body(const char* data, std::size_t, std::size_t size, void* context) {
  Transfer& transfer = *static_cast<Transfer*>(context);
  HttpReply& reply = transfer.reply;
  const long status = transfer.request.into.empty() ? 0 : status_of(transfer.curl);
  if (status == 206) {
    const MutableBytes room = transfer.request.into.subspan(reply.received);
    if (size > room.size()) {
      reply.problem = "the service sent more bytes than asked for";
      return 0;
    }
    std::memcpy(room.data(), data, size);
    reply.received += size;
    return size;
  }
  if (status == 200) {
    reply.problem = "the service does not honour Range";
    return 0;
  }
  if (size > kMaxText - reply.body.size()) {
    reply.problem = "the reply is too long";
    return 0;
  }
  reply.body.append(data, size);
  return size;
}

std::size_t take_header(const char* data, std::size_t, std::size_t size, void* context) {
  HttpReply& reply = static_cast<Transfer*>(context)->reply;
  std::string_view line(data, size);
  if (line.starts_with("HTTP/")) reply.headers.clear();  // an interim reply came before
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  line.remove_prefix(colon + 1);
  const std::size_t first = line.find_first_not_of(" \t");
  const std::size_t last = line.find_last_not_of(" \t\r\n");
  reply.headers[name] = last == std::string_view::npos || first > last
                            ? std::string()
                            : std::string(line.substr(first, last - first + 1));
  return size;
}

HeaderList make_headers(const Headers& headers) {
  HeaderList list;
  const auto append = [&](const std::string& line) {
    list.reset(::curl_slist_append(list.release(), line.c_str()));
  };
  for (const auto& [name, value] : headers) append(fmt::format("{}: {}", name, value));
  append("expect:");  // a 100-continue costs a round trip
  if (!headers.contains("content-type")) append("content-type:");
  return list;
}

void set_method(CURL* curl, const HttpRequest& request) {
  if (request.method == "HEAD") {
    ::curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    // As a POST libcurl sends it from where it lies, and again where it has to.
    ::curl_easy_setopt(curl, CURLOPT_POST, 1L);
    ::curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                       request.body.empty() ? "" : as_text(request.body).data());
    ::curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
  }
  if (request.method != "GET" && request.method != "HEAD") {
    ::curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

void set_limits(CURL* curl, const HttpSettings& settings, const HttpRequest& request) {
  const milliseconds idle = std::max(settings.idle_timeout, milliseconds(1000));
  ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>((idle.count() + 999) / 1000));
  ::curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(std::min(idle, kConnectTimeout).count()));
  // 0 would mean no limit.
  ::curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(std::max(request.limit, milliseconds(1)).count()));
}

void set_transport(CURL* curl, const HttpSettings& settings, const HttpRequest& request) {
  ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  ::curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  ::curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  ::curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  ::curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kSocketBuffer);
  ::curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, kSocketBuffer);
  ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!settings.ca_file.empty()) {
    ::curl_easy_setopt(curl, CURLOPT_CAINFO, settings.ca_file.c_str());
  }
  ::curl_easy_setopt(curl, CURLOPT_USERAGENT, "spillfs/" SPILLFS_VERSION);
  ::curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT,
                     request.connection == HttpConnection::kFresh ? 1L : 0L);
}

HttpEnd end_of(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return HttpEnd::kWhole;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
      return HttpEnd::kBroken;
    default:
      return HttpEnd::kRefused;
  }
}

// Whether a byte of the request has left, over whatever connection.
bool has_sent(CURL* curl) {
  long bytes = 0;
  return ::curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &bytes) != CURLE_OK || bytes > 0;
}

// What to do about a problem, to follow libcurl's words for it.
std::string_view advice_about(CURLcode code) {
  if (code != CURLE_PEER_FAILED_VERIFICATION) return {};
  return "; for a certificate that is no public one, name its CA's file in verify";
}

// The deleter is nobody's business but libcurl's.
using Url = std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)>;

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (::curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  ::curl_free(text);
  return copy;
}

}  // namespace

class HttpClient::Handle {
 public:
  Handle() : curl_(::curl_easy_init()) {}
  ~Handle() { ::curl_easy_cleanup(curl_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  HttpReply perform(const HttpSettings& settings, const HttpRequest& request) {
    HttpReply reply;
    if (curl_ == nullptr) {
      reply.end = HttpEnd::kRefused;
      reply.problem = "no memory for a transfer";
      return reply;
    }
    Transfer transfer{.curl = curl_, .request = request, .reply = reply};
    std::array<char, CURL_ERROR_SIZE> problem{};
    const HeaderList headers = make_headers(request.headers);
    ::curl_easy_reset(curl_);  // keeps connections
    set_transport(curl_, settings, request);
    set_limits(curl_, settings, request);
    set_method(curl_, request);
    ::curl_easy_setopt(curl_, CURLOPT_URL, request.url.c_str());
    ::curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, headers.get());
    ::curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, problem.data());
    ::curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, take_body);
    ::curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &transfer);
    ::curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, take_header);
    ::curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &transfer);
    const CURLcode code = ::curl_easy_perform(curl_);
    reply.end = end_of(code);
    reply.sent = has_sent(curl_);
    reply.status = static_cast<int>(status_of(curl_));
    if (code != CURLE_OK && reply.problem.empty()) {
      reply.problem = problem[0] != '\0' ? problem.data() : ::curl_easy_strerror(code);
      reply.problem += advice_about(code);
    }
    ::curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, nullptr);
    return reply;
  }

 private:
  CURL* const curl_;
};

std::string HttpReply::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

HttpClient::HttpClient(HttpSettings settings) : settings_(std::move(settings)) {
  // Once a process; libcurl counts, and this is never undone: TLS libraries do not like it.
  static const CURLcode initialized = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialized);
}

HttpClient::~HttpClient() = default;

HttpReply HttpClient::perform(const HttpRequest& request) {
  std::unique_ptr<Handle> handle = take_handle();
  HttpReply reply = handle->perform(settings_, request);
  give_back(std::move(handle));
  return reply;
}

std::unique_ptr<HttpClient::Handle> HttpClient::take_handle() {
  MutexLock lock(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>();
  std::unique_ptr<Handle> handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void HttpClient::give_back(std::unique_ptr<Handle> handle) {
  MutexLock lock(mutex_);
  if (idle_.size() < kMaxIdleHandles) idle_.push_back(std::move(handle));
}

std::optional<std::time_t> parse_http_date(const std::string& text) {
  const std::time_t time = ::curl_getdate(text.c_str(), nullptr);
  if (time < 0) return std::nullopt;
  return time;
}

Result<HttpEndpoint> parse_endpoint(const std::string& text) {
  const Url url(::curl_url(), &::curl_url_cleanup);
  if (::curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return fail(EINVAL, "an endpoint is a url like http://127.0.0.1:9000");
  }
  HttpEndpoint endpoint{.scheme = url_part(url.get(), CURLUPART_SCHEME),
                        .authority = url_part(url.get(), CURLUPART_HOST),
                        .path = url_part(url.get(), CURLUPART_PATH)};
  if (endpoint.scheme != "http" && endpoint.scheme != "https") {
    return fail(EINVAL, "an endpoint starts with http:// or https://");
  }
  for (const CURLUPart part : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY}) {
    if (!url_part(url.get(), part).empty()) {
      return fail(EINVAL, "an endpoint has neither user, password nor query");
    }
  }
  const std::string port = url_part(url.get(), CURLUPART_PORT);
  const std::string usual = endpoint.scheme == "http" ? "80" : "443";
  if (!port.empty() && port != usual) endpoint.authority += ":" + port;
  while (endpoint.path.ends_with('/')) endpoint.path.pop_back();
  return endpoint;
}

}  // namespace spillfs::storage::external
