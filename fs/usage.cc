// SPDX-License-Identifier: Apache-2.0
#include "fs/usage.h"

#include "storage/base/escaped.h"

namespace spillfs::fs {

std::string usage_failure(const CLI::App*, const CLI::Error& error) {
  return one_line(error.what()) + "\nRun with --help for more information.\n";
}

}  // namespace spillfs::fs
