// SPDX-License-Identifier: Apache-2.0
// StartReport: what a worker tells through its pipe when it has started, or could not
// (be_worker()).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class StartReport {
 public:
  // Waits up to `patience` for what is left of it. Whole, it says since when the worker serves; one
  // that gives no time has served for as long as there is. Or what went wrong.
  std::optional<Result<std::chrono::steady_clock::time_point>> read(
      const Fd& pipe, std::chrono::milliseconds patience);

 private:
  std::string text_;
};

}  // namespace spillfs::fs
