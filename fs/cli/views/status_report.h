// SPDX-License-Identifier: Apache-2.0
// What `spillfs status` prints for people. Scripts take --json, whose keys stay.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace spillfs::fs {

// `status` is .spillfs/status, of this program or an older one: what it does not say is left out.
std::string status_report(const nlohmann::json& status);

}  // namespace spillfs::fs
