// SPDX-License-Identifier: Apache-2.0
// Which mount a verb means that was not told.
#pragma once

#include <string>

#include "storage/base/result.h"

namespace spillfs::fs {

// `mountpoint` itself; where it is empty the only one there is, else ENODEV.
Result<std::string> only_mount(const std::string& mountpoint);

}  // namespace spillfs::fs
