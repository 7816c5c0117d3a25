// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>

#include "fs/cli/commands.h"
#include "fs/cli/describe.h"
#include "fs/cli/external_verbs.h"
#include "fs/cli/helpers.h"
#include "fs/cli/shared/usage.h"
#include "fs/cli/watch_verbs.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/system/log.h"

namespace {

using spillfs::fs::ExitCode;

// A usage error of CLI11 is one of ours.
int parse_failed(const CLI::App& app, const CLI::ParseError& error) {
  const bool asked = error.get_exit_code() == 0;  // --help, --version
  app.exit(error);
  return asked ? spillfs::fs::kExitSuccess : spillfs::fs::kExitUsage;
}

std::string version_text() {
  const auto kernel = spillfs::fs::probe_kernel();
  return "spillfs " SPILLFS_VERSION "\nkernel: " +
         (kernel ? describe(*kernel) : "only root can ask what it does: " + kernel.error().context);
}

void add_upgrade_verbs(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto upgrade = std::make_shared<spillfs::fs::UpgradeCommand>();
  auto* verb = app.add_subcommand("upgrade", "Go on with a mount in the program installed now");
  verb->add_option("mountpoint", upgrade->mountpoint)->required();
  verb->callback([=, &code] { code = run_upgrade(*upgrade, streams); });

  const auto take_over = std::make_shared<spillfs::fs::TakeOverCommand>();
  verb = app.add_subcommand("take-over")->group("");  // for the daemon itself
  verb->add_option("hand-over", take_over->hand_over)->required();
  verb->add_flag("--probe", take_over->probe);
  verb->add_flag("--worker", take_over->worker);
  verb->callback([=, &code] { code = run_take_over(*take_over, streams); });
}

void add_mount_verb(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto mount = std::make_shared<spillfs::fs::MountCommand>();
  auto* verb = app.add_subcommand("mount", "Mount a store; it is made where there is none");
  verb->add_option("store", mount->store, "the store's directory, or Ray's JSON, or @FILE with it");
  verb->add_option("mountpoint", mount->mountpoint, "an empty directory");
  verb->add_option("--config", mount->config, "a TOML file with what is not given here");
  verb->add_option("-o", mount->options, "options, as name=value,…")->allow_extra_args(false);
  verb->add_option_function<std::string>(
      "--log-level",
      [=](const std::string& level) { mount->options.push_back("log_level=" + level); },
      "as -o log_level=");
  verb->add_flag("-f,--foreground", mount->foreground, "stay in the foreground, log to stderr");
  verb->footer(spillfs::fs::mount_help());
  verb->callback([=, &code] { code = run_mount(*mount, streams); });
}

void add_config_verb(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto config = std::make_shared<spillfs::fs::ConfigCommand>();
  auto* verb = app.add_subcommand("config", "Print the options in force, and where they come from");
  auto* live = verb->add_option("mountpoint", config->mountpoint, "of a live mount");
  verb->add_option("--config", config->config, "of a mount with this file")->excludes(live);
  verb->add_option("-o", config->options, "of one with these options")
      ->allow_extra_args(false)
      ->excludes(live);
  verb->add_flag("--json", config->json);
  verb->callback([=, &code] { code = run_config(*config, streams); });
}

void add_sync_verb(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto sync = std::make_shared<spillfs::fs::SyncCommand>();
  auto* verb = app.add_subcommand("sync", "Bring everything that a mount has taken to disk");
  verb->add_option("mountpoint", sync->mountpoint)->required();
  verb->callback([=, &code] { code = run_sync(*sync, streams); });
}

void add_reap_verb(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto reap = std::make_shared<spillfs::fs::ReapCommand>();
  auto* verb = app.add_subcommand("reap", "Remove what runtimes that are gone left behind");
  verb->add_option("mountpoint", reap->mountpoint);
  verb->add_option("--older-than", reap->older_than, "untouched for 90s, 15m, 1h, 2d; default 1h");
  verb->add_flag("--dry-run", reap->dry_run, "only list it");
  verb->add_flag("--json", reap->json, "an object a line");
  verb->callback([=, &code] { code = run_reap(*reap, streams); });
}

void add_check_verb(CLI::App& app, spillfs::fs::Streams streams, ExitCode& code) {
  const auto check = std::make_shared<spillfs::fs::CheckCommand>();
  check->progress = ::isatty(STDERR_FILENO) == 1;
  auto* verb = app.add_subcommand("check", "Compare an unmounted store's index with its segments");
  verb->add_option("store", check->store)->required();
  verb->add_flag_callback(
      "--foreign-store", [=] { check->foreign = spillfs::Foreign::kAdmit; },
      "also one that other users own or may write, as the option foreign_store");
  auto* rebuild = verb->add_flag("--rebuild", check->rebuild,
                                 "make a new index from the segments, where it is lost");
  verb->add_flag("--force", check->force, "also where the index can be read")->needs(rebuild);
  verb->add_option("--boot", check->boot, "as the option of a mount: auto, same or new");
  verb->callback([=, &code] { code = run_check(*check, streams); });
}

int run(int argc, char** argv) {
  spillfs::fs::Streams streams{std::cout, std::cerr};
  // Until a verb has a better place: the log's own default would mix with what a verb prints.
  static_cast<void>(spillfs::fs::set_up_log({}));
  if (const auto helped = run_as_helper({argv, static_cast<std::size_t>(argc)}, streams)) {
    return *helped;
  }
  ExitCode code = spillfs::fs::kExitSuccess;
  CLI::App app("spillfs: a directory that data runtimes spill to");
  app.set_version_flag("--version", std::function(version_text));
  app.failure_message(spillfs::fs::usage_failure);
  app.require_subcommand(1);

  add_mount_verb(app, streams, code);

  spillfs::fs::UmountCommand umount;
  auto* verb = app.add_subcommand("umount", "Unmount, and wait until everything is sealed");
  verb->add_option("mountpoint", umount.mountpoint, "It, or a .toml file that names it")
      ->required();
  auto* if_dead = verb->add_flag("--if-dead", umount.if_dead, "Only if its daemon is gone");
  verb->add_flag("--lazy", umount.lazy, "Also while it is in use; do not wait for its end")
      ->excludes(if_dead);
  verb->callback([&] { code = run_umount(umount, streams); });

  add_config_verb(app, streams, code);
  add_upgrade_verbs(app, streams, code);

  spillfs::fs::StatusCommand status;
  verb = app.add_subcommand("status", "Say how a mount, or every mount, is doing");
  verb->add_option("mountpoint", status.mountpoint);
  verb->add_flag("--json", status.json);
  verb->callback([&] { code = run_status(status, streams); });

  spillfs::fs::ScrubCommand scrub;
  scrub.progress = ::isatty(STDERR_FILENO) == 1;
  verb = app.add_subcommand("scrub", "Compare everything on a mount's disks with its sums");
  verb->add_option("mountpoint", scrub.mountpoint)->required();
  verb->add_flag("--json", scrub.json, "the daemon's lines, as they come");
  verb->callback([&] { code = run_scrub(scrub, streams); });

  add_sync_verb(app, streams, code);
  add_reap_verb(app, streams, code);
  add_check_verb(app, streams, code);

  spillfs::fs::DumpCommand dump;
  verb = app.add_subcommand("dump", "List the records of a fused segment");
  verb->add_option("segment", dump.segment, "a .fused file")->required();
  verb->callback([&] { code = run_dump(dump, streams); });

  spillfs::fs::add_watch_verbs(app, streams, code);
  spillfs::fs::add_external_verbs(app, streams, code);
  spillfs::fs::add_describe_verb(app, streams, code);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return parse_failed(app, error);
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& exception) {
    spillfs::fs::complain(std::cerr, exception.what());
    return spillfs::fs::kExitSystem;
  }
}
