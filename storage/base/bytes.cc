// SPDX-License-Identifier: Apache-2.0
#include "storage/base/bytes.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace spillfs {
namespace {

struct Unit {
  char letter;
  std::uint64_t bytes;
};
constexpr std::array kUnits{Unit{'k', kKiB}, Unit{'m', kMiB}, Unit{'g', kGiB},
                            Unit{'t', 1024 * kGiB}};

Failure not_a_size(std::string_view text) {
  return fail(EINVAL, fmt::format("'{}' is not a size; write it like 4096, 64MiB or 1.5G", text));
}

// The multiple a suffix such as "", "M", "MB" or "MiB" stands for; 0 if it stands for none.
std::uint64_t multiple(std::string_view suffix) {
  std::string lower;
  for (char c : suffix) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.empty() || lower == "b") return 1;
  const std::string_view rest = std::string_view(lower).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return 0;
  for (const Unit& unit : kUnits) {
    if (unit.letter == lower[0]) return unit.bytes;
  }
  return 0;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  double value = 0;
  const auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (code != std::errc{} || value < 0 || !std::isfinite(value)) return not_a_size(text);
  const std::uint64_t unit = multiple(text.substr(static_cast<std::size_t>(end - text.data())));
  const double bytes = value * static_cast<double>(unit);
  if (unit == 0 || bytes >= 9.2e18) return not_a_size(text);
  return static_cast<std::uint64_t>(bytes);
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array kNames{"TiB", "GiB", "MiB", "KiB"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::uint64_t unit = kUnits[kNames.size() - 1 - i].bytes;
    if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, kNames[i]);
  }
  return std::to_string(bytes);
}

}  // namespace spillfs
