// SPDX-License-Identifier: Apache-2.0
// Where a mount's metrics are served: on this machine only, they have no protection of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/result.h"

namespace spillfs::fs {

struct MetricsAddress {
  enum class Family : std::uint8_t { kIpv4, kIpv6, kUnix };
  Family family = Family::kIpv4;
  std::string host;  // an address without brackets, or the socket's path
  std::uint16_t port = 0;

  friend bool operator==(const MetricsAddress&, const MetricsAddress&) = default;
};

// "127.0.0.1:9123", "[::1]:9123", "localhost:9123", "unix:/run/spillfs.sock". EINVAL with a
// sentence for what does not parse, or is not of this machine alone.
Result<MetricsAddress> parse_metrics_address(std::string_view text);

}  // namespace spillfs::fs
