// SPDX-License-Identifier: Apache-2.0
// "90s", "15m", "1h", "2d": how long ago something was touched last.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "storage/base/result.h"

namespace spillfs::fs {

// EINVAL with a sentence.
Result<std::chrono::seconds> parse_age(std::string_view text);
// In the largest unit that divides it.
std::string format_age(std::chrono::seconds age);

}  // namespace spillfs::fs
