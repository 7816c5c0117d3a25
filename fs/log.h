// SPDX-License-Identifier: Apache-2.0
// Where the daemon's log lines go.
#pragma once

#include <string>

#include "storage/base/result.h"

namespace spillfs::fs {

struct LogTarget {
  std::string level = "info";  // as spdlog's
  // "journal"; "file": `file`; "auto": the journal where a file has no name and standard error goes
  // to the journal anyway, else the file.
  std::string where = "file";
  std::string file;               // is rotated; empty: standard error
  std::string mountpoint, store;  // fields of each line in the journal, where known
};
// Also in place of an earlier one. ENOENT when there is no journal.
Result<> set_up_log(const LogTarget& target);

// Standard input, output and error lead nowhere from now on, and the process is in no directory
// that someone may want to unmount.
void leave_terminal();

// Of a daemon in the background.
std::string log_file(const std::string& store);

}  // namespace spillfs::fs
