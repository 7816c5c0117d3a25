// SPDX-License-Identifier: Apache-2.0
// Spreads what a background walk reads over time. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace spillfs::fs {

class BytePace {
 public:
  using Clock = std::chrono::steady_clock;

  // `bytes` have been read, of `rate` a second (0: any number): when the next may be.
  Clock::time_point after(std::uint64_t bytes, std::uint64_t rate, Clock::time_point now) {
    due_ = std::max(due_, now);
    if (rate == 0) return due_;
    const std::chrono::duration<double> takes(static_cast<double>(bytes) /
                                              static_cast<double>(rate));
    due_ += std::chrono::duration_cast<Clock::duration>(takes);
    return due_;
  }

 private:
  Clock::time_point due_;
};

}  // namespace spillfs::fs
