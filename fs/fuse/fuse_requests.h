// SPDX-License-Identifier: Apache-2.0
// RequestCounters: how many requests of each kind the kernel has sent. Those about the control
// files are left out, so that whoever reads the counters there does not change them.
// Threads: every method may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"

namespace spillfs::fs {

// What linux/fuse.h calls it without FUSE_; "UNKNOWN" for what came later.
std::string_view request_name(std::uint32_t opcode);

// False when the kernel waits for no answer. `request` is raw, as read from /dev/fuse.
bool has_answer(Bytes request);
// The handle of a file that a raw request closes for the last time.
std::optional<std::uint64_t> released_handle(Bytes request);

inline constexpr std::size_t kOpcodes = 64;  // the last stands for all that are beyond

// Whether a request is one that the counters and times tell of.
enum class Counted : std::uint8_t { kNo, kYes };

class RequestCounters {
 public:
  Counted count(Bytes request);
  // By the names of linux/fuse.h without FUSE_; kinds that never came are not in it.
  [[nodiscard]] std::map<std::string, std::uint64_t> counts() const;
  [[nodiscard]] std::map<std::uint32_t, std::uint64_t> by_opcode() const;

 private:
  std::array<std::atomic<std::uint64_t>, kOpcodes> counts_{};
};

}  // namespace spillfs::fs
