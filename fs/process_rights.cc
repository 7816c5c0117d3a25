// SPDX-License-Identifier: Apache-2.0
#include "fs/process_rights.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace spillfs::fs {

std::optional<ProcessRights> rights_of(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  ProcessRights rights;
  bool known = false;
  for (std::string key; status >> key; std::getline(status, key)) {
    std::uint64_t value = 0;
    if (key == "CapEff:" && status >> std::hex >> value) {
      rights.capabilities = CapabilitySet::of_bits(value);
      known = true;
    }
    if (key == "CapBnd:" && status >> std::hex >> value) {
      rights.bounds = CapabilitySet::of_bits(value);
    }
    if (key == "NoNewPrivs:" && status >> value) rights.no_new_privileges = value != 0;
    if (key == "Seccomp:" && status >> value) rights.filtered = value != 0;
  }
  std::ifstream(fmt::format("/proc/{}/oom_score_adj", process)) >> rights.oom_score_adj;
  if (!known) return std::nullopt;
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
