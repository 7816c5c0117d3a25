// SPDX-License-Identifier: Apache-2.0
#include "fs/control/json_report.h"

#include <nlohmann/json.hpp>

namespace spillfs::fs {

std::string to_line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void JsonReport::add(const nlohmann::json& line) {
  const std::string text = to_line(line);
  MutexLock lock(mutex_);
  text_ += text;
}

void JsonReport::finish(std::string_view error) {
  nlohmann::json line{{"done", true}};
  if (!error.empty()) line["error"] = error;
  add(line);
}

std::size_t JsonReport::read(MutableBytes into, std::uint64_t offset) {
  MutexLock lock(mutex_);
  return read_text(text_, into, offset);
}

ReportDesk::~ReportDesk() {
  if (report_ != nullptr) report_->abandon();
}

Result<std::size_t> ReportDesk::read(MutableBytes into, std::uint64_t offset) {
  if (report_ == nullptr) return 0;
  return report_->read(into, offset);
}

Result<> ReportDesk::write(Bytes from) {
  if (report_ != nullptr) return fail(EINVAL, "one request for each open");
  report_ = SPILLFS_TRY(ask_(as_text(from)));
  return {};
}

}  // namespace spillfs::fs
