// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_rights.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "fs/system/process_status.h"

namespace spillfs::fs {

std::optional<ProcessRights> rights_of(pid_t process) {
  const ProcessStatus status(process);
  const auto capabilities = status.number("CapEff", 16);
  if (!capabilities) return std::nullopt;
  ProcessRights rights;
  rights.capabilities = CapabilitySet::of_bits(*capabilities);
  rights.bounds = CapabilitySet::of_bits(status.number("CapBnd", 16).value_or(0));
  rights.no_new_privileges = status.number("NoNewPrivs").value_or(0) != 0;
  rights.filtered = status.number("Seccomp").value_or(0) != 0;
  std::ifstream(fmt::format("/proc/{}/oom_score_adj", process)) >> rights.oom_score_adj;
  return rights;
}

nlohmann::json to_json(const ProcessRights& rights) {
  return {{"capabilities", rights.capabilities.names()},
          {"bounding_set", rights.bounds.names()},
          {"no_new_privileges", rights.no_new_privileges},
          {"seccomp", rights.filtered},
          {"oom_score_adj", rights.oom_score_adj}};
}

}  // namespace spillfs::fs
