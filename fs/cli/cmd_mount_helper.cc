// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <ostream>

#include "fs/cli/helpers.h"
#include "fs/cli/shared/usage.h"
#include "fs/config/mount_request.h"
#include "fs/store/store.h"
#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

// A mount as an ordinary user has no PATH, and needs fusermount3.
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct HelperArguments {
  std::string store;
  std::string mountpoint;
  std::vector<std::string> options;
  std::string type;
  bool sloppy = false;
  bool fake = false;
  bool verbose = false;
  bool no_table = false;  // /etc/mtab is the kernel's
};

int refused(const Error& error, Streams streams) {
  report(error, kExitUsage, streams);
  return kMountUsage;
}

// All but the options, which are taken apart already.
MountCommand command_of(const HelperArguments& asked, const HelperOptions& options) {
  MountCommand command{.config = options.config,
                       .store = asked.store,
                       .mountpoint = asked.mountpoint,
                       .options = options.own,
                       .kernel_flags = options.kernel};
  if (is_config_file(asked.store)) command.config = std::exchange(command.store, {});
  // A place holder, as fstab(5) needs one.
  if (command.store == "none" && !command.config.empty()) command.store.clear();
  // As for the command line, where one name alone is the mountpoint.
  if (command.store.empty()) std::swap(command.store, command.mountpoint);
  return command;
}

int mount(const HelperArguments& asked, Streams streams) {
  const auto options = take_apart(asked.options, asked.sloppy ? Sloppy::kYes : Sloppy::kNo);
  if (!options) return refused(options.error(), streams);
  if (options->remount) {
    return asked.fake ? kMountDone : remount(asked.mountpoint, *options, streams);
  }
  const MountCommand command = command_of(asked, *options);
  const auto request = gather(command);
  if (!request) return refused(request.error(), streams);
  if (const auto good = parse_options(request->options); !good) {
    return refused(good.error(), streams);
  }
  const auto tell = [&](std::string_view what) {
    if (!asked.verbose) return;
    streams.out << fmt::format("{} {} on {}\n", escaped(request->store), what,
                               escaped(request->mountpoint));
  };
  if (asked.fake) {
    tell("would be mounted");
    return kMountDone;
  }
  const ExitCode code = run_mount(command, streams);
  if (code == kExitSuccess) tell("is mounted");
  return code == kExitSuccess ? kMountDone : code == kExitUsage ? kMountUsage : kMountFailed;
}

}  // namespace

int run_mount_helper(std::span<char*> argv, Streams streams) {
  ::setenv("PATH", kPath, 0);
  HelperArguments asked;
  CLI::App app("mounts a spillfs store, for mount(8)", "mount.spillfs");
  app.failure_message(usage_failure);
  app.add_option("store", asked.store, "a directory, Ray's JSON, or a .toml file")->required();
  app.add_option("mountpoint", asked.mountpoint)->required();
  app.add_flag("-s", asked.sloppy, "pass over unknown options");
  app.add_flag("-f", asked.fake, "do everything but the mount");
  app.add_flag("-n", asked.no_table, "no entry in /etc/mtab, which there never is");
  app.add_flag("-v", asked.verbose, "say what is done");
  app.add_option("-o", asked.options, "options, as in fstab(5)")->allow_extra_args(false);
  app.add_option("-t", asked.type, "the type, as mount(8) gives it");
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& error) {
    return app.exit(error, streams.out, streams.err) == 0 ? kMountDone : kMountUsage;
  }
  return mount(asked, streams);
}

int run_umount_helper(std::span<char*> argv, Streams streams) {
  ::setenv("PATH", kPath, 0);
  UmountCommand command;
  bool ignored = false;
  std::string type;
  CLI::App app("unmounts a spillfs store, for umount(8)", "umount.fuse.spillfs");
  app.failure_message(usage_failure);
  app.add_option("mountpoint", command.mountpoint)->required();
  app.add_flag("-l", command.lazy, "do not wait until everything is sealed");
  app.add_flag("-n,-f,-v,-r", ignored, "as umount(8) gives them; the same without them");
  app.add_option("-t", type, "the type, as umount(8) gives it");
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& error) {
    return app.exit(error, streams.out, streams.err) == 0 ? kMountDone : kMountUsage;
  }
  return run_umount(command, streams) == kExitSuccess ? kMountDone : kMountFailed;
}

}  // namespace spillfs::fs
