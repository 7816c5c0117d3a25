// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <ostream>

#include "fs/cli/helpers.h"
#include "fs/cli/shared/usage.h"
#include "fs/config/mount_request.h"

namespace spillfs::fs {
namespace {

// A check, and where its index can't be read and `repair` says so, a new one.
int check(const NamedStore& store, bool repair, Streams streams) {
  const ExitCode found = run_check({.store = store.path, .foreign = store.foreign}, streams);
  if (found == kExitSuccess) return kFsckGood;
  if (found != kExitProblemsFound) return kFsckFailed;
  if (!repair) return kFsckLeft;
  switch (run_check({.store = store.path, .foreign = store.foreign, .rebuild = true}, streams)) {
    case kExitSuccess:
      return kFsckFixed;
    case kExitProblemsFound:
      return kFsckFixed | kFsckLeft;
    case kExitUsage:  // it can be read: what is wrong is in the segments
      return kFsckLeft;
    default:
      return kFsckLeft | kFsckFailed;
  }
}

}  // namespace

int run_fsck_helper(std::span<char*> argv, Streams streams) {
  std::string text;
  bool foreign = false;
  bool repair = false;
  bool only_look = false;
  bool ignored = false;
  CLI::App app("checks an unmounted spillfs store, for fsck(8)", "fsck.spillfs");
  app.failure_message(usage_failure);
  app.add_option("store", text, "a directory, Ray's JSON, or a .toml file")->required();
  auto* fix = app.add_flag("-a,-p,-y", repair, "make a new index where it can't be read");
  app.add_flag("-n", only_look, "change nothing (the default)")->excludes(fix);
  app.add_flag("--foreign-store", foreign, "also one that other users own or may write");
  app.add_flag("-f,-v", ignored, "as fsck(8) gives them; the check is always a full one");
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& error) {
    return app.exit(error, streams.out, streams.err) == 0 ? kFsckGood : kFsckUsage;
  }
  auto store = store_of(text);
  if (!store) {
    report(store.error(), kExitUsage, streams);
    return kFsckUsage;
  }
  if (foreign) store->foreign = Foreign::kAdmit;
  return check(*store, repair, streams);
}

}  // namespace spillfs::fs
