// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/external_verbs.h"

#include <unistd.h>

#include <memory>

namespace spillfs::fs {
namespace {

void add_storage_options(CLI::App& verb, StorageChoice& storage) {
  verb.add_option("--config", storage.config, "Ray's object_spilling_config as JSON, or @file")
      ->required();
  verb.add_option("--session", storage.session, "the session's name, for ray_storage");
}

bool on_a_terminal() { return ::isatty(STDERR_FILENO) == 1; }

void add_spill(CLI::App& app, Streams streams, ExitCode& code) {
  const auto command = std::make_shared<SpillCommand>();
  auto* verb = app.add_subcommand("spill", "Spill files as objects, all into one file; print urls");
  add_storage_options(*verb, command->storage);
  verb->add_option("--owner-address", command->owner_address, "of every object");
  verb->add_option("--metadata", command->metadata, "of every object");
  verb->add_flag("--json", command->json, "print one JSON document");
  verb->add_option("files", command->files, "'-' is standard input")->required();
  verb->callback([=, &code] {
    command->progress = on_a_terminal();
    code = run_spill(*command, streams);
  });
}

void add_restore(CLI::App& app, Streams streams, ExitCode& code) {
  const auto command = std::make_shared<RestoreCommand>();
  auto* verb = app.add_subcommand("restore", "Restore the objects that urls name");
  add_storage_options(*verb, command->storage);
  verb->add_flag("--json", command->json, "print one JSON document");
  auto* to = verb->add_option_group("to");
  to->add_option("-o,--output", command->directory, "write DIR/0, DIR/1, …")->type_name("DIR");
  to->add_flag("--stdout", command->to_stdout, "write them to standard output, one by one");
  to->require_option(1);
  verb->add_option("urls", command->urls, "as spill printed them")->required();
  verb->callback([=, &code] {
    if (command->to_stdout && command->json) {
      throw CLI::ValidationError("--json", "needs -o: --stdout is for the objects");
    }
    command->progress = on_a_terminal();
    code = run_restore(*command, streams);
  });
}

void add_delete(CLI::App& app, Streams streams, ExitCode& code) {
  const auto command = std::make_shared<DeleteCommand>();
  auto* verb = app.add_subcommand("delete", "Delete the files that urls name; gone ones are fine");
  add_storage_options(*verb, command->storage);
  verb->add_option("urls", command->urls, "as spill printed them")->required();
  verb->callback([=, &code] { code = run_delete(*command, streams); });
}

void add_destroy(CLI::App& app, Streams streams, ExitCode& code) {
  const auto command = std::make_shared<DestroyCommand>();
  auto* verb = app.add_subcommand("destroy", "Delete everything the storage has spilled");
  add_storage_options(*verb, command->storage);
  verb->callback([=, &code] { code = run_destroy(*command, streams); });
}

}  // namespace

void add_external_verbs(CLI::App& app, Streams streams, ExitCode& code) {
  add_spill(app, streams, code);
  add_restore(app, streams, code);
  add_delete(app, streams, code);
  add_destroy(app, streams, code);
}

}  // namespace spillfs::fs
