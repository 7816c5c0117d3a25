// SPDX-License-Identifier: Apache-2.0
// What is said about arguments that can't be understood.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace spillfs::fs {

// For CLI::App::failure_message(): one line about the error, whatever name was given as an argument
// ("spillfs delete *" takes those that others chose), and one that names --help.
std::string usage_failure(const CLI::App* app, const CLI::Error& error);

}  // namespace spillfs::fs
