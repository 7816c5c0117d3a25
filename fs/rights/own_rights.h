// SPDX-License-Identifier: Apache-2.0
// What each of a mount's processes may do, and how it gives up the rest. docs/SECURITY.md says why
// it needs what it keeps. None of it is a reason not to mount: what can't be given up is logged. To
// be called while the process has one thread.
#pragma once

#include <linux/capability.h>

#include <string>
#include <vector>

#include "fs/config/options.h"
#include "fs/rights/sandbox.h"
#include "fs/system/capabilities.h"

namespace spillfs::fs {

// What its workers and their helpers need comes from it.
inline constexpr CapabilitySet kSupervisorCapabilities{CAP_SYS_ADMIN, CAP_DAC_OVERRIDE,
                                                       CAP_SYS_PTRACE, CAP_LEASE};
// Of a worker whose kernel does the I/O of some files by itself: each of them is registered.
inline constexpr CapabilitySet kPassthrough{CAP_SYS_ADMIN};
// Of a worker whose files belong to another user.
inline constexpr CapabilitySet kOthersFiles{CAP_DAC_OVERRIDE, CAP_LEASE};
inline constexpr CapabilitySet kReaperCapabilities{CAP_DAC_OVERRIDE};
inline constexpr CapabilitySet kWitnessCapabilities{CAP_SYS_PTRACE};

// An ordinary user's keeps what it has, which is nothing but the way to fusermount3.
void limit_supervisor();

struct WorkerNeeds {
  std::vector<std::string> directories;  // in which it changes files
  CapabilitySet capabilities;
  SandboxRules calls;
};
WorkerNeeds worker_needs(const MountOptions& options, FeatureSet features, const std::string& store,
                         std::vector<std::string> data);
// Says whether system calls are filtered: "on", "off: why".
std::string limit_worker(const MountOptions& options, const WorkerNeeds& needs);

Result<> limit_helper(CapabilitySet kept);

}  // namespace spillfs::fs
