// SPDX-License-Identifier: Apache-2.0
#include "storage/base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace spillfs {
namespace {

struct Unit {
  char letter;
  std::uint64_t bytes;
  double decimal;  // bytes of what is written with a "B" alone, elsewhere
};
constexpr std::array kUnits{Unit{'k', kKiB, 1e3}, Unit{'m', kMiB, 1e6}, Unit{'g', kGiB, 1e9},
                            Unit{'t', 1024 * kGiB, 1e12}};
constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();

Failure not_a_size(std::string_view text) {
  return fail(EINVAL, fmt::format("'{}' is not a size; write it like 4096, 64MiB or 1.5G", text));
}

// What stands behind a number.
struct Suffix {
  const Unit* unit = nullptr;  // none: bytes
  bool either = false;         // 1024s to some and 1000s to others
};

std::optional<Suffix> parse_suffix(std::string_view text) {
  std::string lower;
  for (char c : text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.empty() || lower == "b") return Suffix{};
  const std::string_view rest = std::string_view(lower).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (unit.letter == lower[0]) return Suffix{.unit = &unit, .either = rest == "b"};
  }
  return std::nullopt;
}

Failure either_size(std::string_view text, std::string_view number, const Unit& unit) {
  double value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value, std::chars_format::fixed);
  return fail(EINVAL,
              fmt::format("'{0}' is {1}{2}iB to some and {3:.0f} bytes to others; write {1}{2}iB, "
                          "which it was here before, or {3:.0f}",
                          text, number, static_cast<char>(std::toupper(unit.letter)),
                          value * unit.decimal));
}

// `number` is digits alone: nothing is rounded.
Result<std::uint64_t> whole_size(std::string_view text, std::string_view number,
                                 std::uint64_t unit) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (code != std::errc{} || value > kMost / unit) return not_a_size(text);
  return value * unit;
}

Result<std::uint64_t> broken_size(std::string_view text, std::string_view number,
                                  std::uint64_t unit) {
  double value = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), value,
                                           std::chars_format::fixed);
  const double bytes = value * static_cast<double>(unit);
  if (code != std::errc{} || end != number.data() + number.size() || bytes >= 9.2e18) {
    return not_a_size(text);
  }
  if (unit == 1 && bytes != std::floor(bytes)) {
    return fail(EINVAL, fmt::format("'{}' is no whole number of bytes; write a unit behind it, as "
                                    "in 1.5GiB, or a whole number",
                                    text));
  }
  if (value > 0 && bytes < 1) {
    return fail(EINVAL, fmt::format("'{}' is less than a byte; write 0 where you mean nothing, or "
                                    "a whole number of bytes",
                                    text));
  }
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view number = text.substr(0, end);
  const auto suffix = parse_suffix(text.substr(end));
  if (number.find_first_of("0123456789") == std::string_view::npos || !suffix) {
    return not_a_size(text);
  }
  if (suffix->either) return either_size(text, number, *suffix->unit);
  const std::uint64_t unit = suffix->unit == nullptr ? 1 : suffix->unit->bytes;
  const bool whole = number.find('.') == std::string_view::npos;
  return whole ? whole_size(text, number, unit) : broken_size(text, number, unit);
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
