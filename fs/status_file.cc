// SPDX-License-Identifier: Apache-2.0
#include "fs/status_file.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace spillfs::fs {

nlohmann::json read_status(const std::string& mountpoint) {
  std::ifstream file(mountpoint + "/.spillfs/status");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace spillfs::fs
