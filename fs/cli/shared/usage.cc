// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/shared/usage.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "fs/config/nearest_name.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

// CLI11 says that a verb is needed, also where one was given that there is not.
std::string unknown_verb(const CLI::App& app) {
  const auto given = app.remaining();
  if (given.empty() || !app.get_subcommands().empty()) return {};
  if (given.front().starts_with("-")) return fmt::format("there is no flag {}", given.front());
  const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  std::vector<std::string_view> names;
  for (const CLI::App* verb : verbs) names.push_back(verb->get_name());
  return fmt::format("there is no verb '{}'{}", given.front(), did_you_mean(given.front(), names));
}

}  // namespace

// CLI11 gives the outermost: a helper has a name of its own, the program the path it was called by.
std::string usage_failure(const CLI::App* app, const CLI::Error& error) {
  std::string command = app->get_name().ends_with(".spillfs") ? app->get_name() : "spillfs";
  for (const CLI::App* verb : app->get_subcommands()) command += " " + verb->get_name();
  std::string what = unknown_verb(*app);
  if (what.empty()) what = error.what();
  while (what.ends_with('.') || what.ends_with('\n')) what.pop_back();
  const char* stop = what.ends_with('?') ? "" : ";";
  return fmt::format("spillfs: {}{} '{} --help' says what it takes\n", one_line(what), stop,
                     command);
}

}  // namespace spillfs::fs
