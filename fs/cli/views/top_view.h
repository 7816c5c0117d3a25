// SPDX-License-Identifier: Apache-2.0
// What `spillfs top` shows of two looks at a mount.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "fs/status/metrics_sample.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct TopLook {
  std::chrono::steady_clock::time_point at;
  std::uint64_t worker = 0;  // the serving process
  std::string memory;        // status's word on it
  MetricsSample metrics;
  nlohmann::json clients;      // null where this user may not read them
  nlohmann::json directories;  // …
};

// ENODEV when no daemon answers.
Result<TopLook> look_at(const std::string& mountpoint);

// What happened between them; since its start where another process serves now.
std::string top_view(const std::string& mountpoint, const TopLook& before, const TopLook& after);

}  // namespace spillfs::fs
