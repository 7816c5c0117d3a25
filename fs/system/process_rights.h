// SPDX-License-Identifier: Apache-2.0
// What a process may do, as the kernel says it in /proc: docs/SECURITY.md has what each of ours
// should.
#pragma once

#include <sys/types.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "fs/system/capabilities.h"

namespace spillfs::fs {

struct ProcessRights {
  CapabilitySet capabilities;  // that it makes use of
  CapabilitySet bounds;        // that a program it starts may get at most
  bool no_new_privileges = false;
  bool filtered = false;  // its system calls, by seccomp
  int oom_score_adj = 0;
};
// None where there is no such process, or /proc does not tell.
std::optional<ProcessRights> rights_of(pid_t process);
nlohmann::json to_json(const ProcessRights& rights);

}  // namespace spillfs::fs
