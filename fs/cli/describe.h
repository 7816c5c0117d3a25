// SPDX-License-Identifier: Apache-2.0
// The hidden verb that the manual and the completions are made from.
#pragma once

#include <CLI/CLI.hpp>

#include "fs/cli/commands.h"

namespace spillfs::fs {

// Adds `describe`, which prints the verbs of `app` and the option table as JSON.
void add_describe_verb(CLI::App& app, Streams streams, ExitCode& code);

}  // namespace spillfs::fs
