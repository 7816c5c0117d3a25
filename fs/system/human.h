// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace spillfs::fs {

// "0 B", "17.3 KiB", "2.0 TiB".
std::string human_size(double bytes);
// "420 us", "1.7 ms", "12.0 s".
std::string human_time(std::chrono::duration<double> time);
// "37 %"; "-" of nothing.
std::string percent(std::uint64_t part, std::uint64_t whole);

}  // namespace spillfs::fs
