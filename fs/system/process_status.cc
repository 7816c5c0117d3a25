// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace spillfs::fs {
namespace {

constexpr std::string_view kBlanks = " \t";

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
}

}  // namespace

ProcessStatus::ProcessStatus(pid_t thread) {
  std::ifstream file(fmt::format("/proc/{}/status", thread));
  text_.assign(std::istreambuf_iterator<char>(file), {});
}

// A line break in a program's name is escaped there.
std::string_view ProcessStatus::line(std::string_view key) const {
  for (std::string_view rest = text_; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with(key) || !line.substr(key.size()).starts_with(':')) continue;
    line.remove_prefix(key.size() + 1);
    skip_blanks(line);
    return line;
  }
  return {};
}

std::vector<std::uint64_t> ProcessStatus::numbers(std::string_view key, int base) const {
  std::vector<std::uint64_t> found;
  for (std::string_view rest = line(key); !rest.empty(); skip_blanks(rest)) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    if (error != std::errc()) break;
    found.push_back(value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  }
  return found;
}

std::optional<std::uint64_t> ProcessStatus::number(std::string_view key, int base) const {
  const auto found = numbers(key, base);
  return found.empty() ? std::nullopt : std::optional(found.front());
}

pid_t process_of(pid_t thread) {
  return static_cast<pid_t>(ProcessStatus(thread).number("Tgid").value_or(0));
}

bool proc_is_ours() {
  std::error_code none;
  return std::filesystem::read_symlink("/proc/self", none) == std::to_string(::getpid());
}

}  // namespace spillfs::fs
