// SPDX-License-Identifier: Apache-2.0
#include "fs/config/age.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace spillfs::fs {
namespace {

struct Unit {
  char name;
  std::uint64_t seconds;
};
constexpr std::array kUnits{Unit{'d', 86400}, Unit{'h', 3600}, Unit{'m', 60}, Unit{'s', 1}};
constexpr std::uint64_t kMostSeconds = 100ULL * 365 * 86400;

}  // namespace

Result<std::chrono::seconds> parse_age(std::string_view text) {
  std::uint64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, count);
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& known) {
    return parsed.ptr + 1 == end && *parsed.ptr == known.name;
  });
  if (parsed.ec != std::errc() || unit == kUnits.end() || count > kMostSeconds / unit->seconds) {
    return fail(EINVAL, fmt::format("'{}' is not an age like '90s', '15m', '1h' or '2d'", text));
  }
  return std::chrono::seconds(count * unit->seconds);
}

std::string format_age(std::chrono::seconds age) {
  const auto seconds = static_cast<std::uint64_t>(age.count());
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& known) {
    return seconds != 0 && seconds % known.seconds == 0;
  });
  return unit == kUnits.end() ? "0s" : fmt::format("{}{}", seconds / unit->seconds, unit->name);
}

}  // namespace spillfs::fs
