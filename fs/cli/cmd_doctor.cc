// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/cli/commands.h"
#include "fs/cli/doctor/doctor.h"
#include "fs/cli/shared/which_mount.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

nlohmann::json as_json(const Findings& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"level", level_name(finding.level)},
                    {"what", finding.what},
                    {"found", finding.found},
                    {"change", finding.change}});
  }
  return list;
}

void print(const Findings& findings, std::ostream& out) {
  for (const Finding& finding : findings) {
    out << fmt::format("{:<4}  {:<11}  {}\n", level_name(finding.level), finding.what,
                       one_line(finding.found));
    if (!finding.change.empty()) out << fmt::format("{:19}-> {}\n", "", one_line(finding.change));
  }
}

}  // namespace

ExitCode run_doctor(const DoctorCommand& command, Streams streams) {
  Findings findings;
  examine_machine(findings);
  for (const auto& mountpoint : each_mount(command.mountpoint)) examine_mount(mountpoint, findings);
  examine_ray(command.ray_config, findings);
  if (command.json) {
    streams.out << as_json(findings).dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
                << '\n';
  } else {
    print(findings, streams.out);
  }
  const bool failed = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.level == Finding::Level::kFail;
  });
  return failed ? kExitProblemsFound : kExitSuccess;
}

}  // namespace spillfs::fs
