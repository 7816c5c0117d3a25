// SPDX-License-Identifier: Apache-2.0
#include "fs/config/metrics_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>

namespace spillfs::fs {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::uint32_t kLoopbackNetwork = 127;

Result<MetricsAddress> parse_unix(std::string_view path) {
  if (!path.starts_with('/')) {
    return fail(EINVAL, fmt::format("'{}' is not an absolute path; write unix:/run/name", path));
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(EINVAL, fmt::format("a socket's path has at most {} characters",
                                    sizeof(sockaddr_un::sun_path) - 1));
  }
  return MetricsAddress{
      .family = MetricsAddress::Family::kUnix, .host = std::string(path), .port = 0};
}

Failure not_loopback(std::string_view text) {
  return fail(EINVAL, fmt::format("'{}' could be reached from other machines; metrics are served "
                                  "on 127.0.0.1, [::1] or unix:/path only, put a proxy in front",
                                  text));
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return fail(EINVAL, fmt::format("'{}' is not a port from 1 to 65535", text));
  }
  return port;
}

}  // namespace

Result<MetricsAddress> parse_metrics_address(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return parse_unix(text.substr(kUnixPrefix.size()));
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return fail(EINVAL, fmt::format("'{}' is not ADDRESS:PORT or unix:/path", text));
  }
  std::string host(text.substr(0, colon));
  const std::uint16_t port = SPILLFS_TRY(parse_port(text.substr(colon + 1)));
  if (host == "localhost") host = "127.0.0.1";
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    if (ntohl(v4.s_addr) >> 24 != kLoopbackNetwork) return not_loopback(text);
    return MetricsAddress{.family = MetricsAddress::Family::kIpv4, .host = host, .port = port};
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return not_loopback(text);
  if (!IN6_IS_ADDR_LOOPBACK(&v6)) return not_loopback(text);
  return MetricsAddress{.family = MetricsAddress::Family::kIpv6, .host = host, .port = port};
}

}  // namespace spillfs::fs
