// SPDX-License-Identifier: Apache-2.0
// A program that runs beside this process and says something.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct ChildProgram {
  pid_t pid = 0;  // a child: to be waited for
  Fd output;      // to read from, up to its end
};

// Where its standard error goes.
enum class ChildErrors : std::uint8_t { kToOutput, kToOurs };

// Starts `program`, which is looked for in PATH where its name has no slash; `words` begin with
// what it is called. It has nothing of ours but standard output and error: our descriptors hold the
// mount, and we block signals.
Result<ChildProgram> start_program(const std::string& program, std::vector<std::string> words,
                                   ChildErrors errors);

}  // namespace spillfs::fs
