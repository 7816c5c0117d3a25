// SPDX-License-Identifier: Apache-2.0
#include "storage/external/retry.h"

#include <algorithm>
#include <random>
#include <thread>

namespace spillfs::storage::external {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstWait{100};
constexpr milliseconds kLongestWait{10000};

milliseconds wait_before(unsigned attempt) {
  const milliseconds limit = std::min(kLongestWait, kFirstWait * (1U << std::min(attempt, 10U)));
  std::random_device random;
  return milliseconds(std::uniform_int_distribution<milliseconds::rep>(0, limit.count())(random));
}

}  // namespace

Retry::Retry(unsigned tries, milliseconds budget) : tries_(tries), end_(Clock::now() + budget) {}

bool Retry::again(milliseconds at_least) {
  if (used_ >= tries_) return false;
  const milliseconds wait = std::max(wait_before(used_), at_least);
  if (wait >= left()) return false;
  std::this_thread::sleep_for(wait);
  ++used_;
  ++begun_;
  return true;
}

milliseconds Retry::left() const {
  return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(end_ - Clock::now()));
}

}  // namespace spillfs::storage::external
