// SPDX-License-Identifier: Apache-2.0
// What .spillfs/status says: a JSON object (docs/CLI.md).
#pragma once

#include <string>

namespace spillfs {
class SlowWatch;
}

namespace spillfs::fs {

class MemoryPressure;
class RequestCounters;
class RequestTimes;
class Scrubber;
class Store;
class Volume;
struct KernelFeatures;
struct MountOptions;
struct Reaped;
struct SupervisorCounts;

// What is so for as long as a worker serves. All outlive it.
struct MountFacts {
  const Store& store;
  const MountOptions& options;
  const std::string& mountpoint;
  int supervisor = 0;  // its process id
  const SupervisorCounts& counts;
};

// Whom the status and the metrics ask. All outlive it.
struct StatusSources {
  const MountFacts& mount;
  const KernelFeatures& kernel;
  MemoryPressure& memory;
  Volume& volume;
  Scrubber& scrubber;
  const RequestCounters& requests;
  RequestTimes& times;
  SlowWatch& slow;
  const Reaped& reaped;
  const std::string& sandbox;  // limit_worker()
};

std::string status_text(const StatusSources& from);

}  // namespace spillfs::fs
