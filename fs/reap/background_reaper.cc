// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/background_reaper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "storage/base/escaped.h"
#include "storage/base/pause.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::seconds kLeastPause{1};
constexpr std::chrono::seconds kMostPause{600};

}  // namespace

BackgroundReaper::BackgroundReaper(ReapRunner& runner, std::chrono::seconds older_than,
                                   Reaped& reaped)
    : runner_(runner),
      older_than_(older_than),
      reaped_(reaped),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void BackgroundReaper::run(const std::stop_token& stop) {
  const auto between = std::clamp(older_than_, kLeastPause, kMostPause);
  for (pause(between, stop); !stop.stop_requested(); pause(between, stop)) reap(stop);
}

void BackgroundReaper::reap(const std::stop_token& stop) {
  const auto done = runner_.run(stop, [this](std::string_view line) { take_line(line); });
  if (!done) spdlog::warn("reap: {}", describe(done.error()));
}

// Of what was removed, or of what went wrong.
void BackgroundReaper::take_line(std::string_view line) {
  const auto removed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!removed.is_object()) return spdlog::warn("reap: {}", line);
  const std::uint64_t bytes = removed.value("bytes", std::uint64_t{0});
  ++reaped_.count;
  reaped_.bytes += bytes;
  spdlog::info("reap: {}  {} bytes  {}", escaped(removed.value("path", "")), bytes,
               escaped(removed.value("why", "")));
}

}  // namespace spillfs::fs
