// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/start_report.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace spillfs::fs {
namespace {

using Clock = std::chrono::steady_clock;

// "+nanoseconds"
Clock::time_point time_in(std::string_view text) {
  std::int64_t count = 0;
  std::from_chars(text.data() + 1, text.data() + text.size(), count);
  return Clock::time_point(std::chrono::nanoseconds(count));
}

// "errno\ntext"
Failure failure_in(const std::string& text) {
  const std::size_t line = text.find('\n');
  if (line == std::string::npos) return fail(EIO, "the worker died at its start; see the log");
  int code = EIO;
  std::from_chars(text.data(), text.data() + line, code);
  return fail(code, text.substr(line + 1));
}

}  // namespace

std::optional<Result<Clock::time_point>> StartReport::read(const Fd& pipe,
                                                           std::chrono::milliseconds patience) {
  pollfd readable{.fd = pipe.get(), .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, static_cast<int>(patience.count())) == 0) return std::nullopt;
  std::array<char, 4096> part{};
  const ssize_t got = ::read(pipe.get(), part.data(), part.size());
  if (got < 0 && errno == EINTR) return std::nullopt;
  if (got <= 0) return failure_in(text_);
  text_.append(part.data(), static_cast<std::size_t>(got));
  if (text_.starts_with('+')) return time_in(text_);
  return std::nullopt;
}

}  // namespace spillfs::fs
