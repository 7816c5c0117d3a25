// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <ostream>

#include "fs/cli/describe.h"
#include "fs/config/options.h"

namespace spillfs::fs {
namespace {

using nlohmann::json;

json describe_option(const CLI::Option& option) {
  json names = json::array();
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return {{"names", names},  // none: it stands for itself
          {"positional", option.get_positional() ? option.get_name(true) : ""},
          {"takes_value", option.get_items_expected_max() > 0},
          {"many", option.get_items_expected_max() > 1},
          {"required", option.get_required()},
          {"help", option.get_description()}};
}

// With those of its option groups.
void describe_options(const CLI::App& app, json& out) {
  for (const CLI::Option* option : app.get_options()) out.push_back(describe_option(*option));
  for (const CLI::App* group : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (group->get_name().empty()) describe_options(*group, out);
  }
}

json describe_verbs(const CLI::App& app) {
  json verbs = json::array();
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (verb->get_name().empty() || verb->get_group().empty()) continue;
    json options = json::array();
    describe_options(*verb, options);
    verbs.push_back(
        {{"name", verb->get_name()}, {"help", verb->get_description()}, {"options", options}});
  }
  return verbs;
}

json describe_table() {
  json table = json::array();
  for (const OptionSpec& spec : option_table()) {
    table.push_back({{"name", spec.name},
                     {"usage", usage_of(spec)},
                     {"value", spec.value},
                     {"default", spec.fallback},
                     {"help", spec.help},
                     {"range", describe_range(spec)},
                     {"words", spec.words},
                     {"in_file", spec.show != nullptr},
                     {"list", spec.kind == OptionKind::kList},
                     {"reload", spec.change == OptionChange::kAtReload}});
  }
  return table;
}

}  // namespace

void add_describe_verb(CLI::App& app, Streams streams, ExitCode& code) {
  auto* verb = app.add_subcommand("describe")->group("");
  verb->callback([&app, streams, &code] {
    const json all{{"version", SPILLFS_VERSION},
                   {"verbs", describe_verbs(app)},
                   {"options", describe_table()}};
    streams.out << all.dump(2) << '\n';
    code = kExitSuccess;
  });
}

}  // namespace spillfs::fs
