// SPDX-License-Identifier: Apache-2.0
// The verbs by which people look at a mount, as the command line knows them: top, doctor, bench.
#pragma once

#include <CLI/App.hpp>

#include "fs/cli/commands.h"

namespace spillfs::fs {

void add_watch_verbs(CLI::App& app, Streams streams, ExitCode& code);

}  // namespace spillfs::fs
