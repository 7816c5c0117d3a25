// SPDX-License-Identifier: Apache-2.0
// MetricsConnections: who is connected to the server of metrics, and who of them has to go, so that
// clients that are slow on purpose cannot keep the others out. A connection has a deadline for all
// of what it does; one peer has a bounded number of them; when there are too many, the oldest of
// the peer that has the most goes. So a new connection always finds a place.
// Threads: only the server's.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace spillfs::fs {

// The user at the other end of a unix socket; else the remote address. On the loopback interface
// that is one address for all users of this machine.
std::string peer_of(int socket);

class MetricsConnections {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kDeadline{5};  // from the connection to the last byte
  static constexpr std::size_t kMostOfPeer = 32;
  static constexpr std::size_t kMost = 64;

  // The socket of the connection that has to go for the new one, if one has to. The caller shuts it
  // down, and tells of its end by remove() as of any other.
  std::optional<int> add(int socket, std::string peer, Clock::time_point now);
  void remove(int socket);
  // The sockets whose time is up, each of them once.
  std::vector<int> take_overdue(Clock::time_point now);
  // When the next one's time is up; none where nobody is connected.
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;
  // Those that have not been told to go.
  [[nodiscard]] std::size_t count() const;

 private:
  struct Connection {
    int socket;
    std::string peer;
    Clock::time_point since;
    bool goes = false;  // told to go; its end is still to come
  };

  [[nodiscard]] std::size_t count_of(const std::string& peer) const;
  [[nodiscard]] std::string busiest_peer() const;
  std::optional<int> take_oldest_of(const std::string& peer);

  std::vector<Connection> connections_;  // the oldest first
};

}  // namespace spillfs::fs
