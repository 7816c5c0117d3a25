// SPDX-License-Identifier: Apache-2.0
// Which mounts a verb means that was not told.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::fs {

// `mountpoint` itself; where it is empty the only one there is, else ENODEV.
Result<std::string> only_mount(const std::string& mountpoint);
// `mountpoint` itself; where it is empty all there are.
std::vector<std::string> each_mount(const std::string& mountpoint);
// One of all mounts does not answer: says so to people, unless it has ended meanwhile.
void tell_if_dead(const std::string& mountpoint, std::ostream& err);

}  // namespace spillfs::fs
