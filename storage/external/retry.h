// SPDX-License-Identifier: Apache-2.0
// When to try again: exponential back-off with full jitter (a random wait between nothing and a
// limit that doubles), so that many clients do not come back together, within a budget of time.
#pragma once

#include <chrono>

namespace spillfs::storage::external {

class Retry {
 public:
  using Clock = std::chrono::steady_clock;

  // `tries` after the first one, all within `budget` from now on.
  Retry(unsigned tries, std::chrono::milliseconds budget);

  // Waits before the next try, at least as long as the service asked for; false when there is none.
  bool again(std::chrono::milliseconds at_least);
  // The last try got somewhere: count from the start. The budget goes on.
  void progressed() { used_ = 0; }

  [[nodiscard]] std::chrono::milliseconds left() const;
  // Tries begun so far.
  [[nodiscard]] unsigned begun() const { return begun_; }

 private:
  const unsigned tries_;
  const Clock::time_point end_;
  unsigned used_ = 0;
  unsigned begun_ = 1;
};

}  // namespace spillfs::storage::external
