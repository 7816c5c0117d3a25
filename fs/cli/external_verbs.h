// SPDX-License-Identifier: Apache-2.0
// The verbs that spill to, restore from and clean up Ray's external storages.
#pragma once

#include <CLI/CLI.hpp>

#include "fs/cli/commands.h"

namespace spillfs::fs {

// Adds spill, restore, delete and destroy to `app`. Parsing runs the one that is named and sets
// `code`, which outlives `app`'s parsing.
void add_external_verbs(CLI::App& app, Streams streams, ExitCode& code);

}  // namespace spillfs::fs
