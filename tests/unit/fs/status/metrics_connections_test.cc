// SPDX-License-Identifier: Apache-2.0
#include "fs/status/metrics_connections.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>

#include "storage/base/fd.h"

namespace spillfs::tests {
namespace {

using fs::MetricsConnections;
using Clock = MetricsConnections::Clock;
using testing::ElementsAre;

const Clock::time_point kStart{};
constexpr int kMostOfPeer = MetricsConnections::kMostOfPeer;
constexpr int kMost = MetricsConnections::kMost;

TEST(MetricsConnections, EndsWhatTakesTooLong) {
  MetricsConnections connections;
  EXPECT_FALSE(connections.next_deadline());
  connections.add(1, "a", kStart);
  connections.add(2, "b", kStart + std::chrono::seconds(1));
  EXPECT_EQ(connections.next_deadline(), kStart + MetricsConnections::kDeadline);
  const auto late = kStart + MetricsConnections::kDeadline;
  EXPECT_THAT(connections.take_overdue(late - std::chrono::milliseconds(1)), ElementsAre());
  EXPECT_THAT(connections.take_overdue(late), ElementsAre(1));
  EXPECT_THAT(connections.take_overdue(late), ElementsAre()) << "once";
  EXPECT_EQ(connections.next_deadline(), late + std::chrono::seconds(1));
  connections.remove(1);
  connections.remove(2);
  EXPECT_FALSE(connections.next_deadline());
}

TEST(MetricsConnections, OnePeerHasABoundedNumber) {
  MetricsConnections connections;
  for (int socket = 0; socket < kMostOfPeer; ++socket) {
    EXPECT_FALSE(connections.add(socket, "slow", kStart));
  }
  EXPECT_FALSE(connections.add(1000, "other", kStart));
  EXPECT_EQ(connections.add(1001, "slow", kStart), 0) << "its oldest goes";
  EXPECT_EQ(connections.add(1002, "slow", kStart), 1);
  EXPECT_EQ(connections.count(), kMostOfPeer + 1);
}

TEST(MetricsConnections, TheOldestOfTheBusiestPeerGoes) {
  MetricsConnections connections;
  connections.add(1000, "first", kStart);
  int socket = 0;
  for (; socket < kMostOfPeer; ++socket) connections.add(socket, "slow", kStart);
  while (connections.count() < kMost) {
    EXPECT_FALSE(connections.add(2000 + socket, "peer " + std::to_string(socket), kStart));
    ++socket;
  }
  EXPECT_EQ(connections.add(1001, "last", kStart), 0);
  EXPECT_EQ(connections.count(), kMost);
  connections.remove(0);
  EXPECT_EQ(connections.count(), kMost) << "it was not counted any more";
}

TEST(MetricsConnections, APeerIsAUser) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const Fd one(ends[0]);
  const Fd other(ends[1]);
  EXPECT_EQ(fs::peer_of(one.get()), "uid " + std::to_string(::geteuid()));
  EXPECT_EQ(fs::peer_of(-1), "unknown");
}

}  // namespace
}  // namespace spillfs::tests
