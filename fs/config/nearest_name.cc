// SPDX-License-Identifier: Apache-2.0
#include "fs/config/nearest_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace spillfs::fs {
namespace {

// How many letters are missing, too many, wrong, or swapped with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);  // of the first i letters of a
  std::iota(row.begin(), row.end(), 0);
  std::vector<std::size_t> before = row;  // of one letter less, and of two
  std::vector<std::size_t> long_before = row;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    long_before = std::exchange(before, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = before[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({before[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], long_before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(std::string_view name, std::span<const std::string_view> names) {
  constexpr std::size_t kLettersPerMistake = 3;
  const auto nearest = std::min_element(names.begin(), names.end(), [&](auto a, auto b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
  if (nearest == names.end()) return {};
  const std::size_t shorter = std::min(name.size(), nearest->size());
  if (edit_distance(name, *nearest) * kLettersPerMistake > shorter) return {};
  return fmt::format("; did you mean '{}'?", *nearest);
}

}  // namespace spillfs::fs
