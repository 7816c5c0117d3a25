// SPDX-License-Identifier: Apache-2.0
// ReapRunner: runs 'spillfs reap' on a mount for its worker, which may start no programs and has no
// rights over what other users left: a helper does, and the program that it starts. Threads: one,
// but for the constructor, which has to come while the process has one.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "fs/rights/helper_process.h"

namespace spillfs::fs {

struct BackgroundReapOptions {
  std::string mountpoint;
  std::chrono::seconds older_than{3600};
};

class ReapRunner {
 public:
  explicit ReapRunner(const BackgroundReapOptions& options);

  // One run; each line that it prints. Comes back when it has ended, or a stop is requested: the
  // program is killed then, and no other run is possible.
  Result<> run(const std::stop_token& stop, const std::function<void(std::string_view)>& line);

 private:
  std::optional<HelperProcess> helper_;
  std::string why_not_;
};

}  // namespace spillfs::fs
