// SPDX-License-Identifier: Apache-2.0
#include "fs/system/descriptor_info.h"

#include <fmt/format.h>

#include <fstream>

namespace spillfs::fs {

std::optional<std::uint64_t> descriptor_number(int file, std::string_view key, pid_t process) {
  const std::string of = process == kThisProcess ? "self" : std::to_string(process);
  std::ifstream info(fmt::format("/proc/{}/fdinfo/{}", of, file));
  for (std::string word; info >> word;) {
    std::uint64_t value = 0;
    if (word == fmt::format("{}:", key) && info >> value) return value;
    std::getline(info, word);
  }
  return std::nullopt;
}

}  // namespace spillfs::fs
