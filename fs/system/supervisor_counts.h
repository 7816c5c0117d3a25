// SPDX-License-Identifier: Apache-2.0
// What has happened to a mount so far, in a memfd that its supervisor shares with its workers.
#pragma once

#include <atomic>
#include <cstdint>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct SupervisorCounts {
  std::atomic<std::uint32_t> restarts;
  std::atomic<std::uint32_t> upgrades;
  std::atomic<std::uint32_t> failed_upgrades;
  // By Heartbeat in the worker.
  std::atomic<std::uint32_t> beats;
  std::atomic<std::uint32_t> serving;  // 0: it recovers
  std::atomic<std::uint64_t> files;
  std::atomic<std::uint64_t> bytes;
};
// As long as the process lives. A fresh memfd becomes zeros.
Result<SupervisorCounts*> map_counts(const Fd& memory);

}  // namespace spillfs::fs
