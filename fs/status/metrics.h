// SPDX-License-Identifier: Apache-2.0
// What .spillfs/metrics says, for Prometheus: docs/MONITORING.md has every metric. Counters begin
// at 0 with each process that serves the mount; those of spillfs_worker_… are the mount's. Every
// metric but the process's has the mountpoint as a label: one collector may have many mounts'.
#pragma once

#include <string>

#include "fs/status/status_text.h"

namespace spillfs::fs {

// Of the mount, for a file that others' metrics are put beside.
std::string mount_metrics_text(const StatusSources& from);
// With those of the process.
std::string metrics_text(const StatusSources& from);

// Why the mount does not answer; empty when it does.
std::string mount_trouble(const StatusSources& from);

}  // namespace spillfs::fs
