// SPDX-License-Identifier: Apache-2.0
// ProcessStatus: what /proc/PID/status says of a thread (proc(5)), read once and as a whole.
// Nothing is found of a thread that is gone, or that is not to be seen.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

class ProcessStatus {
 public:
  explicit ProcessStatus(pid_t thread);

  // What stands behind "key:" and the blanks after it, up to the end of its line.
  [[nodiscard]] std::string_view line(std::string_view key) const;
  // The numbers there, up to the first word that is none.
  [[nodiscard]] std::vector<std::uint64_t> numbers(std::string_view key, int base = 10) const;
  // The first of them.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key, int base = 10) const;

 private:
  std::string text_;
};

// The process that a thread is of; 0 when it is gone.
pid_t process_of(pid_t thread);

// Whether /proc is that of our own process namespace. In another one's our numbers are others'.
bool proc_is_ours();

}  // namespace spillfs::fs
