// SPDX-License-Identifier: Apache-2.0
// What a mount's daemon tells in MOUNTPOINT/.spillfs, as the verbs read it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace spillfs::fs {

// Empty when no daemon answers, or it has no such file for this user.
std::string read_control_text(const std::string& mountpoint, std::string_view name);
// A value that is discarded then.
nlohmann::json read_control_json(const std::string& mountpoint, std::string_view name);
// An object; anything else when no daemon answers.
nlohmann::json read_status(const std::string& mountpoint);

}  // namespace spillfs::fs
