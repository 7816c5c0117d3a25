// SPDX-License-Identifier: Apache-2.0
// The lines of a control file that grows while the daemon does what it was asked for.
#pragma once

#include <functional>
#include <string>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

class ReportLines {
 public:
  // `goes_on` is asked about once a second while there is nothing to read; where it says no, next()
  // fails with ENOTCONN.
  explicit ReportLines(
      Fd file, std::function<bool()> goes_on = [] { return true; })
      : file_(std::move(file)), goes_on_(std::move(goes_on)) {}

  // The next one, without its end; waits for it.
  Result<std::string> next();

 private:
  Result<> wait();

  const Fd file_;
  const std::function<bool()> goes_on_;
  off_t at_ = 0;
  unsigned waits_ = 0;
  std::string text_;
};

}  // namespace spillfs::fs
