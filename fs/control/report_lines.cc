// SPDX-License-Identifier: Apache-2.0
#include "fs/control/report_lines.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kLineLook{50};
constexpr unsigned kLooksToAsk = 20;

}  // namespace

Result<std::string> ReportLines::next() {
  for (;;) {
    const std::size_t end = text_.find('\n');
    if (end != std::string::npos) {
      std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      return line;
    }
    std::array<char, 65536> part{};
    const ssize_t got = ::pread(file_.get(), part.data(), part.size(), at_);
    if (got < 0) return fail_errno(errno, "the daemon does not go on with it");
    if (got == 0) SPILLFS_TRY(wait());
    at_ += got;
    text_.append(part.data(), static_cast<std::size_t>(got));
  }
}

Result<> ReportLines::wait() {
  std::this_thread::sleep_for(kLineLook);
  if (++waits_ % kLooksToAsk != 0 || goes_on_()) return {};
  return fail(ENOTCONN, "it is not mounted any more");
}

}  // namespace spillfs::fs
