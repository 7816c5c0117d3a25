// SPDX-License-Identifier: Apache-2.0
// The verbs of the command line. Each takes its arguments and streams, prints a sentence on `err`
// when something is wrong and returns an ExitCode.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "fs/exit_codes.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct Streams {
  std::ostream& out;
  std::ostream& err;
};

struct MountCommand {
  std::string store;
  std::string mountpoint;
  std::vector<std::string> options;  // each "k=v,k=v"
  bool foreground = false;
};
ExitCode run_mount(const MountCommand& command, Streams streams);
// The table of options, for --help.
std::string mount_help();

struct UmountCommand {
  std::string mountpoint;
};
ExitCode run_umount(const UmountCommand& command, Streams streams);

struct StatusCommand {
  std::string mountpoint;  // empty: all
  bool json = false;
};
ExitCode run_status(const StatusCommand& command, Streams streams);

struct CheckCommand {
  std::string store;
};
ExitCode run_check(const CheckCommand& command, Streams streams);

struct DumpCommand {
  std::string segment;
};
ExitCode run_dump(const DumpCommand& command, Streams streams);

// Prints "spillfs: <context>" and gives the exit code that goes with the error.
ExitCode report(const Error& error, ExitCode code, Streams streams);

}  // namespace spillfs::fs
