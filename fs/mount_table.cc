// SPDX-License-Identifier: Apache-2.0
#include "fs/mount_table.h"

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

}  // namespace

// proc(5): "36 35 98:0 /root /where options - type source options"
std::vector<MountEntry> mount_table() {
  std::vector<MountEntry> entries;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string skip;
    MountEntry entry;
    words >> skip >> skip >> entry.device >> skip >> entry.where >> entry.options;
    while (words >> skip && skip != "-") {
    }
    std::string own;
    words >> entry.type >> skip >> own;
    entry.options += "," + own;
    entry.where = unescape(entry.where);
    entries.push_back(std::move(entry));
  }
  return entries;
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
