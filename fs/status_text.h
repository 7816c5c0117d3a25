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
class Volume;
struct KernelFeatures;
struct Reaped;
struct WorkerStart;

// Whom the status and the metrics ask. All outlive it.
struct StatusSources {
  const WorkerStart& start;
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
