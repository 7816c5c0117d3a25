// SPDX-License-Identifier: Apache-2.0
#include "fs/background_reaper.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fs/child_program.h"
#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how late a stop is heard at most
constexpr std::chrono::seconds kLeastPause{1};
constexpr std::chrono::seconds kMostPause{600};

}  // namespace

BackgroundReaper::BackgroundReaper(BackgroundReapOptions options, Reaped& reaped)
    : options_(std::move(options)),
      reaped_(reaped),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void BackgroundReaper::run(const std::stop_token& stop) {
  const auto between = std::clamp(options_.older_than, kLeastPause, kMostPause);
  for (pause(between, stop); !stop.stop_requested(); pause(between, stop)) reap(stop);
}

void BackgroundReaper::reap(const std::stop_token& stop) {
  const auto started =
      start_program("/proc/self/exe",
                    {"spillfs", "reap", options_.mountpoint, "--json", "--older-than",
                     fmt::format("{}s", options_.older_than.count())},
                    ChildErrors::kToOutput);
  if (!started) return spdlog::warn("reap: {}", describe(started.error()));
  const ChildProgram& child = *started;
  std::string said;
  pollfd readable{.fd = child.output.get(), .events = POLLIN, .revents = 0};
  for (;;) {
    if (stop.stop_requested()) {
      // Not waited for: it may wait for the mount, which nobody serves any more.
      ::kill(child.pid, SIGKILL);
      return;
    }
    if (::poll(&readable, 1, static_cast<int>(kLook.count())) == 0) continue;
    std::array<char, 4096> part{};
    const ssize_t got = ::read(child.output.get(), part.data(), part.size());
    if (got <= 0) break;
    said.append(part.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = said.find('\n')) != std::string::npos;) {
      take_line(std::string_view(said).substr(0, end));
      said.erase(0, end + 1);
    }
  }
  int status = 0;
  ::waitpid(child.pid, &status, 0);
}

// Of what was removed, or of what went wrong.
void BackgroundReaper::take_line(std::string_view line) {
  const auto removed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!removed.is_object()) return spdlog::warn("reap: {}", line);
  const std::uint64_t bytes = removed.value("bytes", std::uint64_t{0});
  ++reaped_.count;
  reaped_.bytes += bytes;
  spdlog::info("reap: {}  {} bytes  {}", removed.value("path", ""), bytes,
               removed.value("why", ""));
}

}  // namespace spillfs::fs
