// SPDX-License-Identifier: Apache-2.0
// What threads do that look after something every now and then, and end when they are told to.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace spillfs {

// Sleeps for that long, or until a stop is requested.
inline void pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace spillfs
