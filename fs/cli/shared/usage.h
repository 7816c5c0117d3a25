// SPDX-License-Identifier: Apache-2.0
// What is said about arguments that can't be understood.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace spillfs::fs {

// For CLI::App::failure_message(): one line that begins with "spillfs:" about the error, whatever
// name was given as an argument ("spillfs delete *" takes those that others chose), and names the
// --help that goes with it.
std::string usage_failure(const CLI::App* app, const CLI::Error& error);

}  // namespace spillfs::fs
