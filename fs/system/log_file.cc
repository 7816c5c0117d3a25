// SPDX-License-Identifier: Apache-2.0
#include "fs/system/log_file.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <utility>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

constexpr const char* kNow = "spillfs.log";
constexpr const char* kBefore = "spillfs.1.log";
constexpr const char* kOldest = "spillfs.2.log";

class LogFile final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  static Result<std::shared_ptr<LogFile>> open(TrustedDirectory folder, std::uint64_t largest) {
    auto log = std::make_shared<LogFile>(std::move(folder), largest);
    SPILLFS_TRY(log->begin());
    return log;
  }
  LogFile(TrustedDirectory folder, std::uint64_t largest)
      : folder_(std::move(folder)), largest_(largest) {}

 private:
  Result<> begin() {
    file_ = SPILLFS_TRY(folder_.open_file(kNow, O_WRONLY | O_APPEND | O_CREAT));
    return {};
  }

  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (is_full()) turn_over();
    if (::write(file_.get(), line.data(), line.size()) < 0) {
      throw spdlog::spdlog_ex("write the log", errno);
    }
  }
  void flush_() override {}

  [[nodiscard]] bool is_full() const {
    struct stat found {};
    return ::fstat(file_.get(), &found) == 0 &&
           static_cast<std::uint64_t>(found.st_size) >= largest_;
  }

  // Another process of this mount may have done it: then the new file has only to be opened. What
  // fails is no reason to lose a line: it goes on in the old one.
  void turn_over() {
    static_cast<void>(begin());
    if (!is_full()) return;
    static_cast<void>(folder_.rename(kBefore, kOldest));
    static_cast<void>(folder_.rename(kNow, kBefore));
    static_cast<void>(begin());
  }

  const TrustedDirectory folder_;
  const std::uint64_t largest_;
  Fd file_;
};

}  // namespace

Result<spdlog::sink_ptr> make_log_file(const TrustedDirectory& folder, std::uint64_t largest) {
  auto held = SPILLFS_TRY(folder.again());
  return SPILLFS_TRY(LogFile::open(std::move(held), largest));
}

}  // namespace spillfs::fs
