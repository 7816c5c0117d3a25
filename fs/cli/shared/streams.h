// SPDX-License-Identifier: Apache-2.0
// What a verb prints on, and how it says that something is wrong.
#pragma once

#include <iosfwd>
#include <string_view>

#include "fs/config/exit_codes.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct Streams {
  std::ostream& out;
  std::ostream& err;
};

// Prints "spillfs: <sentence>" as one line, whatever names are in it.
void complain(std::ostream& err, std::string_view sentence);
// Complains with the error's context and gives the exit code that goes with the error.
ExitCode report(const Error& error, ExitCode code, Streams streams);

}  // namespace spillfs::fs
