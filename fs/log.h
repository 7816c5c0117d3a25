// SPDX-License-Identifier: Apache-2.0
// Where the daemon's log lines go.
#pragma once

#include <string>

#include "storage/base/result.h"

namespace spillfs::fs {

// To `file`, which is rotated, or to standard error when it has no name. `level` as spdlog's.
Result<> set_up_log(const std::string& level, const std::string& file);

// Standard input, output and error lead nowhere from now on, and the process is in no directory
// that someone may want to unmount.
void leave_terminal();

// Of a daemon in the background.
std::string log_file(const std::string& store);

}  // namespace spillfs::fs
