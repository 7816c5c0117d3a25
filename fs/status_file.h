// SPDX-License-Identifier: Apache-2.0
// The status that a mount's daemon gives, as the verbs read it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace spillfs::fs {

// An object; anything else when no daemon answers.
nlohmann::json read_status(const std::string& mountpoint);

}  // namespace spillfs::fs
