// SPDX-License-Identifier: Apache-2.0
#include "fs/json_report.h"

#include <nlohmann/json.hpp>

#include "fs/control_files.h"

namespace spillfs::fs {

std::string to_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void JsonReport::add(const nlohmann::json& line) {
  const std::string text = to_line(line);
  MutexLock lock(mutex_);
  text_ += text;
}

std::size_t JsonReport::read(MutableBytes into, std::uint64_t offset) {
  MutexLock lock(mutex_);
  return read_text(text_, into, offset);
}

}  // namespace spillfs::fs
