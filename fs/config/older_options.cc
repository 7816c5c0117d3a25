// SPDX-License-Identifier: Apache-2.0
#include "fs/config/older_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <vector>

#include "fs/config/options.h"

namespace spillfs::fs {
namespace {

struct Number {
  double value = 0;
  std::string unit;
};

std::optional<Number> number_in(const std::string& text) {
  Number number;
  const char* const last = text.data() + text.size();
  const auto [end, error] =
      std::from_chars(text.data(), last, number.value, std::chars_format::fixed);
  if (error != std::errc() || !(number.value >= 0)) return std::nullopt;
  number.unit.assign(end, last);
  return number;
}

// Bytes: "GB" was "GiB", and parts of a byte were cut off.
std::optional<std::string> older_size(const std::string& text) {
  auto number = number_in(text);
  if (!number) return std::nullopt;
  std::string& unit = number->unit;
  if (unit.size() == 2 && std::tolower(static_cast<unsigned char>(unit[1])) == 'b') unit.pop_back();
  const auto bytes = parse_size("1" + unit);
  const double size = number->value * static_cast<double>(bytes.value_or(0));
  if (!bytes || size >= 9.2e18) return std::nullopt;
  return std::to_string(static_cast<std::uint64_t>(size));
}

// Less than half a millisecond was none.
std::optional<std::string> older_time(const std::string& text) {
  const auto number = number_in(text);
  if (!number || number->value >= 0.0005 || (!number->unit.empty() && number->unit != "s")) {
    return std::nullopt;
  }
  return "0s";
}

std::string older_option(const std::string& word) {
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const auto table = option_table();
  const auto spec =
      std::find_if(table.begin(), table.end(), [&](const auto& s) { return s.name == name; });
  if (equals == std::string::npos || spec == table.end()) return word;
  const std::string value = word.substr(equals + 1);
  MountOptions ignored;
  if (spec->set(ignored, value)) return option_text(name, value);
  std::optional<std::string> older;
  if (spec->kind == OptionKind::kSize) older = older_size(value);
  if (spec->kind == OptionKind::kTime) older = older_time(value);
  return option_text(name, older.value_or(value));
}

}  // namespace

std::string older_options(std::string_view text) {
  MountOptions ignored;
  if (parse_options(text, ignored)) return std::string(text);
  std::vector<std::string> words = split_options(text);
  for (std::string& word : words) word = older_option(word);
  return fmt::format("{}", fmt::join(words, ","));
}

}  // namespace spillfs::fs
