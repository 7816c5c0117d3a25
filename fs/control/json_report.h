// SPDX-License-Identifier: Apache-2.0
// What a search, a walk or a sync has found so far: JSON objects, one a line, that others read
// while more of them come. The last one has "done".
//
// Threads: every method of a JsonReport may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "fs/control/control_files.h"
#include "storage/base/bytes.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

// With its line break; bytes that are not UTF-8 become U+FFFD.
std::string to_line(const nlohmann::json& json);

class JsonReport {
 public:
  void add(const nlohmann::json& line);
  // Adds the last line: {"done":true}, with "error" where there is one.
  void finish(std::string_view error = {});
  // The count of bytes; 0 where the text ends for now.
  std::size_t read(MutableBytes into, std::uint64_t offset);

  // Its reader has closed it.
  void abandon() { abandoned_ = true; }
  [[nodiscard]] bool is_abandoned() const { return abandoned_; }

 private:
  std::atomic<bool> abandoned_{false};
  Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

// A handle of a control file that is asked in a single write, and then gives a report to read,
// which is abandoned when the handle is closed.
class ReportDesk : public ControlReader {
 public:
  using Ask = std::function<Result<std::shared_ptr<JsonReport>>(std::string_view request)>;
  explicit ReportDesk(Ask ask) : ask_(std::move(ask)) {}
  ~ReportDesk() override;
  ReportDesk(const ReportDesk&) = delete;
  ReportDesk& operator=(const ReportDesk&) = delete;

  // Nothing before it is asked.
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override;
  // EINVAL for a second request.
  Result<> write(Bytes from) override;

 private:
  const Ask ask_;
  std::shared_ptr<JsonReport> report_;
};

}  // namespace spillfs::fs
