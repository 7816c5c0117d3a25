// SPDX-License-Identifier: Apache-2.0
// Where the daemon's log lines go.
#pragma once

#include <string>

#include "storage/base/result.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {

struct LogTarget {
  std::string level = "info";  // as spdlog's
  // "journal"; "file": the one in `folder`; "auto": the journal where there is no folder and
  // standard error goes to the journal anyway, else the file.
  std::string where = "file";
  const TrustedDirectory* folder = nullptr;  // for the call; null: standard error
  std::string mountpoint, store;             // fields of each line in the journal, where known
};
// For a daemon in the background that writes no file into its store: the journal, where there is
// one; else its standard error, which leads nowhere.
std::string where_without_file();
// Also in place of an earlier one. ENOENT when there is no journal; of a file as LogFile has them.
Result<> set_up_log(const LogTarget& target);

// Standard input, output and error lead nowhere from now on, and the process is in no directory
// that someone may want to unmount.
void leave_terminal();

}  // namespace spillfs::fs
