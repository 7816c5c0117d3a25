// SPDX-License-Identifier: Apache-2.0
// LatencyHistogram: how many of something took how long, in fixed buckets.
// Threads: every method may be called from any thread; none waits. Numbers read while others add
// may be a little apart from each other.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>

namespace spillfs::fs {

class LatencyHistogram {
 public:
  using Duration = std::chrono::nanoseconds;

  // Ten to the power of 0.4 apart, rounded. A time that is a bound is in that bound's bucket; what
  // takes longer than the last is in one more.
  static constexpr std::array<Duration, 16> kBounds = [] {
    using std::chrono::microseconds;
    return std::array<Duration, 16>{
        microseconds(10),        microseconds(25),        microseconds(63),
        microseconds(160),       microseconds(400),       microseconds(1'000),
        microseconds(2'500),     microseconds(6'300),     microseconds(16'000),
        microseconds(40'000),    microseconds(100'000),   microseconds(250'000),
        microseconds(630'000),   microseconds(1'600'000), microseconds(4'000'000),
        microseconds(10'000'000)};
  }();
  static constexpr std::size_t kBuckets = kBounds.size() + 1;

  static std::size_t bucket_of(Duration took) {
    return static_cast<std::size_t>(std::lower_bound(kBounds.begin(), kBounds.end(), took) -
                                    kBounds.begin());
  }

  struct Counts {
    std::array<std::uint64_t, kBuckets> buckets{};  // each by itself, not those below as well
    Duration sum{0};
    [[nodiscard]] std::uint64_t count() const {
      return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
    }
  };

  void add(Duration took) {
    buckets_.at(bucket_of(took)).fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(took.count(), std::memory_order_relaxed);
  }

  [[nodiscard]] Counts counts() const {
    Counts out;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      out.buckets.at(i) = buckets_.at(i).load(std::memory_order_relaxed);
    }
    out.sum = Duration(sum_.load(std::memory_order_relaxed));
    return out;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::int64_t> sum_{0};  // nanoseconds
};

}  // namespace spillfs::fs
