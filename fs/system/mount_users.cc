// SPDX-License-Identifier: Apache-2.0
#include "fs/system/mount_users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

constexpr std::size_t kListed = 8;

struct Device {
  unsigned major = 0;
  unsigned minor = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

// "0:51", in decimal or in hexadecimal, at the beginning of `text`.
Device parse_device(std::string_view text, int base) {
  Device device;
  const char* end = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), end, device.major, base);
  if (error == std::errc() && colon != end) std::from_chars(colon + 1, end, device.minor, base);
  return device;
}

// The file system that the link of /proc leads to is not asked.
bool leads_to(const std::string& link, const Device& device) {
  struct statx found {};
  constexpr int kHow = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(AT_FDCWD, link.c_str(), kHow, STATX_TYPE, &found) != 0) return false;
  return Device{found.stx_dev_major, found.stx_dev_minor} == device;
}

bool has_open(const std::string& process, const Device& device) {
  std::error_code none;
  files::directory_iterator at(process + "/fd", none);
  for (; !none && at != files::directory_iterator(); at.increment(none)) {
    if (leads_to(at->path().string(), device)) return true;
  }
  return false;
}

// "7f00-7f01 r--s 00000000 00:33 12 /name": the device in hexadecimal.
bool has_mapped(const std::string& process, const Device& device) {
  constexpr int kDeviceWord = 3;
  std::ifstream maps(process + "/maps");
  for (std::string line; std::getline(maps, line);) {
    std::string_view rest = line;
    for (int word = 0; word < kDeviceWord; ++word) {
      rest.remove_prefix(std::min(rest.size(), rest.find(' ') + 1));
    }
    if (parse_device(rest, 16) == device) return true;
  }
  return false;
}

bool uses(const std::string& process, const Device& device) {
  for (const char* link : {"/cwd", "/root", "/exe"}) {
    if (leads_to(process + link, device)) return true;
  }
  return has_open(process, device) || has_mapped(process, device);
}

}  // namespace

std::vector<UsingProcess> users_of_device(std::string_view device) {
  const Device wanted = parse_device(device, 10);
  if (wanted == Device{}) return {};  // of no file system
  std::vector<UsingProcess> found;
  std::error_code none;
  files::directory_iterator at("/proc", none);
  for (; !none && at != files::directory_iterator(); at.increment(none)) {
    const std::string name = at->path().filename().string();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == ::getpid()) continue;
    if (uses(at->path().string(), wanted)) found.push_back({.pid = pid, .name = process_name(pid)});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
  return found;
}

std::string list_of(const std::vector<UsingProcess>& users) {
  std::vector<std::string> shown;
  for (const UsingProcess& user : users) {
    if (shown.size() == kListed) break;
    shown.push_back(fmt::format("{} ({})", user.pid, escaped(user.name)));
  }
  std::string text = fmt::format("{}", fmt::join(shown, ", "));
  if (users.size() > kListed) text += fmt::format(" and {} more", users.size() - kListed);
  return text;
}

std::string process_name(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/comm", process));
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace spillfs::fs
