// SPDX-License-Identifier: Apache-2.0
#include "fs/cli/watch_verbs.h"

#include <CLI/CLI.hpp>
#include <memory>

namespace spillfs::fs {
namespace {

void add_top(CLI::App& app, Streams streams, ExitCode& code) {
  const auto top = std::make_shared<TopCommand>();
  auto* verb = app.add_subcommand("top", "Show what a mount does, as it does it");
  verb->add_option("mountpoint", top->mountpoint);
  verb->add_option("--interval", top->interval, "seconds between two looks")
      ->check(CLI::Range(0.1, 3600.0));
  auto* count = verb->add_option("--count", top->count, "end after so many reports");
  verb->add_flag_callback(
          "--once", [top] { top->count = 1; }, "one report")
      ->excludes(count);
  verb->callback([=, &code] { code = run_top(*top, streams); });
}

void add_doctor(CLI::App& app, Streams streams, ExitCode& code) {
  const auto doctor = std::make_shared<DoctorCommand>();
  auto* verb = app.add_subcommand("doctor", "Look for what is wrong with machine, mounts and Ray");
  verb->add_option("mountpoint", doctor->mountpoint);
  verb->add_option("--ray-config", doctor->ray_config,
                   "Ray's object_spilling_config, or @FILE with it");
  verb->add_flag("--json", doctor->json);
  verb->callback([=, &code] { code = run_doctor(*doctor, streams); });
}

void add_bench(CLI::App& app, Streams streams, ExitCode& code) {
  const auto bench = std::make_shared<BenchCommand>();
  auto* verb = app.add_subcommand("bench", "Spill, restore and delete objects, and say how fast");
  verb->add_option("directory", bench->directory, "a mountpoint, or any other directory");
  verb->add_option("--size", bench->size, "of an object")->capture_default_str();
  verb->add_option("--objects", bench->objects)
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
  verb->add_flag("--json", bench->json);
  verb->callback([=, &code] { code = run_bench(*bench, streams); });
}

}  // namespace

void add_watch_verbs(CLI::App& app, Streams streams, ExitCode& code) {
  add_top(app, streams, code);
  add_doctor(app, streams, code);
  add_bench(app, streams, code);
}

}  // namespace spillfs::fs
