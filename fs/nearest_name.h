// SPDX-License-Identifier: Apache-2.0
// What somebody may have meant.
#pragma once

#include <span>
#include <string_view>

namespace spillfs::fs {

// The one of `names`, at least one, that takes the fewest changes of a letter to get to.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> names);

}  // namespace spillfs::fs
