// SPDX-License-Identifier: Apache-2.0
#include "fs/config/option_doubts.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace spillfs::fs {
namespace {

// A number of bytes without a unit, or 0.
std::uint64_t bare_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

bool is_size(std::string_view name) {
  const auto table = option_table();
  return std::any_of(table.begin(), table.end(), [&](const OptionSpec& spec) {
    return spec.name == name && spec.kind == OptionKind::kSize;
  });
}

// In the unit that the option's own default has.
std::string_view usual_unit(std::string_view name) {
  for (const OptionSpec& spec : option_table()) {
    if (spec.name == name && spec.fallback.ends_with("MiB")) return "MiB";
  }
  return "GiB";
}

}  // namespace

std::vector<std::string> doubts_about(const std::vector<GivenOption>& given) {
  struct Size {
    std::string value, origin;
  };
  std::map<std::string, Size> sizes;
  for (const auto& [text, origin] : given) {
    for (const std::string& word : split_options(text)) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos || !is_size(word.substr(0, equals))) continue;
      sizes[word.substr(0, equals)] = {word.substr(equals + 1), origin};
    }
  }
  std::vector<std::string> doubts;
  for (const auto& [name, size] : sizes) {
    const std::uint64_t bytes = bare_number(size.value);
    if (bytes == 0 || bytes >= kDiskBlock) continue;
    doubts.push_back(fmt::format("{}: {}={} is {} byte{}; did you mean {}{}?", size.origin, name,
                                 size.value, bytes, bytes == 1 ? "" : "s", bytes,
                                 usual_unit(name)));
  }
  return doubts;
}

void log_doubts(const std::vector<GivenOption>& given) {
  for (const std::string& doubt : doubts_about(given)) spdlog::warn("{}", doubt);
}

}  // namespace spillfs::fs
