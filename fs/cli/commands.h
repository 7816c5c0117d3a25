// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line. Each takes its arguments and streams, prints a sentence on `err`
// when something is wrong and returns an ExitCode.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "fs/cli/shared/storage_choice.h"
#include "fs/cli/shared/streams.h"
#include "fs/config/exit_codes.h"
#include "fs/config/mount_request.h"
#include "storage/base/result.h"
#include "storage/base/trust.h"

namespace spillfs::fs {

class Store;

ExitCode run_mount(const MountCommand& command, Streams streams);
// The table of options, for --help.
std::string mount_help();

// Prints the options in force, of a mount or of what one would be asked for.
struct ConfigCommand {
  std::string mountpoint;  // of a live mount; empty: the two below count
  std::string config;
  std::vector<std::string> options;
  bool json = false;
};
ExitCode run_config(const ConfigCommand& command, Streams streams);

struct UmountCommand {
  std::string mountpoint;  // or a .toml that names it
  bool lazy = false;       // also while it is in use, and do not wait for the daemon
  bool if_dead = false;    // only a mount without a daemon; that there is none is well, too
};
ExitCode run_umount(const UmountCommand& command, Streams streams);

// Has the daemon of a mount replace itself by the program that is installed where it was started
// from.
struct UpgradeCommand {
  std::string mountpoint;
};
ExitCode run_upgrade(const UpgradeCommand& command, Streams streams);

// What the program that is to go on with a mount is started with.
struct TakeOverCommand {
  int hand_over = -1;   // descriptor
  bool probe = false;   // only say whether it could
  bool worker = false;  // serve; else supervise
};
ExitCode run_take_over(const TakeOverCommand& command, Streams streams);

struct StatusCommand {
  std::string mountpoint;  // empty: all
  bool json = false;
};
ExitCode run_status(const StatusCommand& command, Streams streams);

struct DoctorCommand {
  std::string mountpoint;  // empty: all
  std::string ray_config;  // Ray's object_spilling_config, or "@file" with it; empty: what runs
  bool json = false;
};
ExitCode run_doctor(const DoctorCommand& command, Streams streams);

struct TopCommand {
  std::string mountpoint;  // empty: the only one
  double interval = 2;     // seconds
  unsigned count = 0;      // of reports; 0: until it is ended
};
ExitCode run_top(const TopCommand& command, Streams streams);

struct BenchCommand {
  std::string directory;       // empty: the only mount
  std::string size = "64MiB";  // of an object
  unsigned objects = 16;
  bool json = false;
};
ExitCode run_bench(const BenchCommand& command, Streams streams);

// Brings everything that the mount has taken to disk.
struct SyncCommand {
  std::string mountpoint;
};
ExitCode run_sync(const SyncCommand& command, Streams streams);

struct ScrubCommand {
  std::string mountpoint;
  bool json = false;
  bool progress = false;  // on `err`, for a terminal
};
ExitCode run_scrub(const ScrubCommand& command, Streams streams);

struct ReapCommand {
  std::string mountpoint;  // empty: all
  std::string older_than = "1h";
  bool dry_run = false;
  bool json = false;
};
ExitCode run_reap(const ReapCommand& command, Streams streams);

struct CheckCommand {
  std::string store;
  Foreign foreign = Foreign::kRefuse;
  bool rebuild = false;
  bool force = false;         // a rebuild though the index can be read
  std::string boot = "auto";  // as the option of a mount
  bool progress = false;      // on `err`, for a terminal
};
// With command.rebuild, for run_check().
ExitCode run_rebuild(Store& store, const CheckCommand& command, Streams streams);
ExitCode run_check(const CheckCommand& command, Streams streams);

struct DumpCommand {
  std::string segment;
};
ExitCode run_dump(const DumpCommand& command, Streams streams);

struct SpillCommand {
  StorageChoice storage;
  std::vector<std::string> files;  // "-" is standard input
  std::string owner_address;       // of every object, as the metadata
  std::string metadata;
  bool json = false;
  bool progress = false;  // on `err`, for a terminal
};
ExitCode run_spill(const SpillCommand& command, Streams streams);

struct RestoreCommand {
  StorageChoice storage;
  std::vector<std::string> urls;
  std::string directory;   // for the objects, as DIR/0, DIR/1, …; or:
  bool to_stdout = false;  // one after the other to `out`
  bool json = false;
  bool progress = false;
};
ExitCode run_restore(const RestoreCommand& command, Streams streams);

struct DeleteCommand {
  StorageChoice storage;
  std::vector<std::string> urls;
};
ExitCode run_delete(const DeleteCommand& command, Streams streams);

struct DestroyCommand {
  StorageChoice storage;
};
ExitCode run_destroy(const DestroyCommand& command, Streams streams);

}  // namespace spillfs::fs
