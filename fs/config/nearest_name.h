// SPDX-License-Identifier: Apache-2.0
// What somebody may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace spillfs::fs {

// "; did you mean 'quota'?" for the one of `names` that takes the fewest changes of a letter to get
// to; "" where that is not near: more than one change for each three letters.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> names);

}  // namespace spillfs::fs
