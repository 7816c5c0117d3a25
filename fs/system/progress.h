// SPDX-License-Identifier: Apache-2.0
// ProgressBar: a bar for people who wait, on one line of a terminal, gone in the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>

namespace spillfs::fs {

class ProgressBar {
 public:
  enum class Unit : std::uint8_t { kBytes, kSegments };
  // `out`: where to; null for nowhere. It outlives this.
  explicit ProgressBar(std::ostream* out, Unit unit = Unit::kBytes);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // So many done, of so many; draws a few times a second at most.
  void update(std::uint64_t done, std::uint64_t total);
  // The line goes, so that another may come; the next update() draws it again.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::ostream* const out_;
  const Unit unit_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_;
  bool shown_ = false;
};

// Of a call that takes long, which says how far it is.
using TellProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// "[#####---------------]  25 %, 1.0 GiB of 4.0 GiB, 512.0 MiB/s"
std::string progress_line(std::uint64_t done, std::uint64_t total,
                          std::chrono::duration<double> passed, ProgressBar::Unit unit);

}  // namespace spillfs::fs
