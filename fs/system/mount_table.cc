// SPDX-License-Identifier: Apache-2.0
#include "fs/system/mount_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace spillfs::fs {
namespace {

// "/a\040b" as /proc/self/mountinfo writes "/a b".
std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool lies_in(const std::string& path, const std::string& folder) {
  return folder == "/" || path == folder ||
         (path.starts_with(folder) && path[folder.size()] == '/');
}

// Words end at spaces alone: the kernel escapes the space, tab and line's end of a name, and leaves
// what else counts as white space as it is.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream rest(line);
  for (std::string word; std::getline(rest, word, ' ');) words.push_back(std::move(word));
  return words;
}

std::optional<std::uint32_t> number_of(const MountEntry& entry, std::string_view key) {
  const std::size_t at = entry.options.find(key);
  if (at == std::string::npos) return std::nullopt;
  const char* end = entry.options.data() + entry.options.size();
  std::uint32_t number = 0;
  if (std::from_chars(entry.options.data() + at + key.size(), end, number).ec != std::errc()) {
    return std::nullopt;
  }
  return number;
}

std::vector<MountEntry> read_table(std::ifstream& table) {
  std::vector<MountEntry> entries;
  for (std::string line; std::getline(table, line);) {
    if (auto entry = parse_mount_line(line)) entries.push_back(*std::move(entry));
  }
  return entries;
}

}  // namespace

// proc(5): "36 35 98:0 /root /where options optional… - type source options"
std::optional<MountEntry> parse_mount_line(const std::string& line) {
  constexpr std::ptrdiff_t kFixed = 6;
  const auto words = words_of(line);
  const auto dash =
      std::find(words.begin() + std::min(kFixed, std::ssize(words)), words.end(), "-");
  if (words.end() - dash < 4) return std::nullopt;
  MountEntry entry{.device = words[2],
                   .root = unescape(words[3]),
                   .where = unescape(words[4]),
                   .options = fmt::format("{},{}", words[5], dash[3]),
                   .type = dash[1],
                   .source = unescape(dash[2])};
  const std::string& id = words[0];
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), entry.id);
  if (error != std::errc()) return std::nullopt;
  return entry;
}

std::vector<MountEntry> mount_table() {
  std::ifstream table("/proc/self/mountinfo");
  return read_table(table);
}

std::optional<std::vector<MountEntry>> mount_table_of(pid_t process) {
  std::ifstream table(fmt::format("/proc/{}/mountinfo", process));
  if (!table) return std::nullopt;
  auto entries = read_table(table);
  if (entries.empty()) return std::nullopt;  // it has ended meanwhile
  return entries;
}

std::optional<MountOwner> owner_of(const MountEntry& entry) {
  const auto user = number_of(entry, ",user_id=");
  const auto group = number_of(entry, ",group_id=");
  if (!user || !group) return std::nullopt;
  return MountOwner{.user = *user, .group = *group};
}

std::optional<MountEntry> mount_of(const std::string& path) {
  std::optional<MountEntry> found;
  for (MountEntry& entry : mount_table()) {
    const bool deeper = !found || entry.where.size() >= found->where.size();
    if (deeper && lies_in(path, entry.where)) found = std::move(entry);
  }
  return found;
}

}  // namespace spillfs::fs
