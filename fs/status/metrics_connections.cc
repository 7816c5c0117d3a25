// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_connections.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace spillfs::fs {

std::string peer_of(int socket) {
  sockaddr_storage remote{};
  socklen_t size = sizeof(remote);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&remote), &size) != 0) return "unknown";
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* address = nullptr;
  if (remote.ss_family == AF_INET) {
    address = &reinterpret_cast<const sockaddr_in&>(remote).sin_addr;
  } else if (remote.ss_family == AF_INET6) {
    address = &reinterpret_cast<const sockaddr_in6&>(remote).sin6_addr;
  } else {
    ucred who{};
    size = sizeof(who);
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return "unknown";
    return fmt::format("uid {}", who.uid);
  }
  const char* shown = ::inet_ntop(remote.ss_family, address, text.data(), text.size());
  return shown == nullptr ? "unknown" : shown;
}

std::optional<int> MetricsConnections::add(int socket, std::string peer, Clock::time_point now) {
  connections_.push_back({.socket = socket, .peer = std::move(peer), .since = now});
  const std::string& newest = connections_.back().peer;
  if (count_of(newest) > kMostOfPeer) return take_oldest_of(newest);
  if (count() > kMost) return take_oldest_of(busiest_peer());
  return std::nullopt;
}

void MetricsConnections::remove(int socket) {
  std::erase_if(connections_, [socket](const Connection& each) { return each.socket == socket; });
}

std::vector<int> MetricsConnections::take_overdue(Clock::time_point now) {
  std::vector<int> overdue;
  for (Connection& each : connections_) {
    if (each.goes || now - each.since < kDeadline) continue;
    each.goes = true;
    overdue.push_back(each.socket);
  }
  return overdue;
}

std::optional<MetricsConnections::Clock::time_point> MetricsConnections::next_deadline() const {
  for (const Connection& each : connections_) {
    if (!each.goes) return each.since + kDeadline;
  }
  return std::nullopt;
}

std::size_t MetricsConnections::count() const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [](const Connection& each) { return !each.goes; }));
}

std::size_t MetricsConnections::count_of(const std::string& peer) const {
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [&peer](const Connection& each) { return !each.goes && each.peer == peer; }));
}

std::string MetricsConnections::busiest_peer() const {
  std::map<std::string, std::size_t> counts;
  for (const Connection& each : connections_) {
    if (!each.goes) ++counts[each.peer];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? std::string() : most->first;
}

std::optional<int> MetricsConnections::take_oldest_of(const std::string& peer) {
  for (Connection& each : connections_) {
    if (each.goes || each.peer != peer) continue;
    each.goes = true;
    return each.socket;
  }
  return std::nullopt;
}

}  // namespace spillfs::fs
