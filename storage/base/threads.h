// SPDX-License-Identifier: Apache-2.0
// Threads that all do the same, as many as the machine lets this process have.
#pragma once

#include <spdlog/spdlog.h>

#include <stop_token>
#include <system_error>
#include <thread>
#include <vector>

namespace spillfs {

// `count` threads that run `loop(stop_token)`; fewer where a limit on processes leaves no more,
// which is logged. std::system_error when not even `least` may be.
template <class Loop>
void start_threads(std::vector<std::jthread>& threads, unsigned count, unsigned least,
                   const Loop& loop) {
  threads.reserve(count);
  while (threads.size() < count) {
    try {
      threads.emplace_back(loop);
    } catch (const std::system_error& error) {
      if (threads.size() < least) throw;
      spdlog::warn("{} threads instead of {}: {}", threads.size(), count, error.what());
      return;
    }
  }
}

}  // namespace spillfs
