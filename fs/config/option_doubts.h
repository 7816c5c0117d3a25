// SPDX-License-Identifier: Apache-2.0
// Options that can be meant as they are written, but hardly are.
#pragma once

#include <string>
#include <vector>

#include "fs/config/options.h"

namespace spillfs::fs {

// "quota=100 is 100 bytes; did you mean 100GiB?": a sentence for each size in force that is less
// than a block and has no unit. Where a name is given twice the last one is in force.
std::vector<std::string> doubts_about(const std::vector<GivenOption>& given);

// Has each in the log, with where it was given.
void log_doubts(const std::vector<GivenOption>& given);

}  // namespace spillfs::fs
