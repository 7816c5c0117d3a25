// SPDX-License-Identifier: Apache-2.0
// Where a store may be mounted.
#pragma once

#include <string>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::fs {

// Without looking into its last part: a dead mount can't be looked into.
Result<std::string> absolute_mountpoint(const std::string& path);

// What is wrong with a mountpoint, in a sentence; clears away a dead mount first. Returns it as an
// absolute path.
Result<std::string> check_mountpoint(const std::string& mountpoint,
                                     const std::vector<std::string>& directories);

}  // namespace spillfs::fs
