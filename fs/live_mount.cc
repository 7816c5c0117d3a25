// SPDX-License-Identifier: Apache-2.0
#include "fs/live_mount.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace spillfs::fs {

std::string read_control_text(const std::string& mountpoint, std::string_view name) {
  std::ifstream file(mountpoint + "/.spillfs/" + std::string(name));
  return {std::istreambuf_iterator<char>(file), {}};
}

nlohmann::json read_control_json(const std::string& mountpoint, std::string_view name) {
  return nlohmann::json::parse(read_control_text(mountpoint, name), nullptr,
                               /*allow_exceptions=*/false);
}

nlohmann::json read_status(const std::string& mountpoint) {
  return read_control_json(mountpoint, "status");
}

}  // namespace spillfs::fs
