// SPDX-License-Identifier: Apache-2.0
#include "storage/base/trust.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace spillfs {
namespace {

constexpr mode_t kOthersWrite = S_IWGRP | S_IWOTH;
constexpr unsigned kPermissions = 07777;

// sudo sets it; another program that root starts with it in its environment has root's word for it.
std::optional<uid_t> who_called_sudo() {
  const char* text = ::geteuid() == 0 ? std::getenv("SUDO_UID") : nullptr;
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  uid_t user = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), user);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return user;
}

// As most distributions give each user: a primary group with no other members.
bool is_private_group(gid_t group, uid_t user) {
  std::array<char, 16384> memory{};
  passwd owner{};
  passwd* found_owner = nullptr;
  if (::getpwuid_r(user, &owner, memory.data(), memory.size(), &found_owner) != 0 ||
      found_owner == nullptr || owner.pw_gid != group) {
    return false;
  }
  const std::string name(owner.pw_name);
  ::group entry{};
  ::group* found = nullptr;
  if (::getgrgid_r(group, &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr) {
    return false;
  }
  for (char** member = entry.gr_mem; *member != nullptr; ++member) {
    if (name != *member) return false;
  }
  return true;
}

bool is_mounted_read_only(int file) {
  struct statvfs mount {};
  return ::fstatvfs(file, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0;
}

}  // namespace

Trust Trust::of_process(Foreign foreign, std::string way_out) {
  Trust trust({0, ::geteuid()}, foreign, std::move(way_out));
  trust.caller_ = who_called_sudo();
  return trust;
}

Trust Trust::of_caller() {
  Trust trust = of_process();
  if (trust.caller_) trust.owners_.push_back(*trust.caller_);
  return trust;
}

Trust::Trust(std::vector<uid_t> owners, Foreign foreign, std::string way_out)
    : owners_(std::move(owners)), foreign_(foreign), way_out_(std::move(way_out)) {}

bool Trust::owns(uid_t user) const {
  return std::find(owners_.begin(), owners_.end(), user) != owners_.end();
}

std::optional<std::string> Trust::against_owner(const struct stat& found,
                                                const std::string& path) const {
  if (owns(found.st_uid)) return std::nullopt;
  const std::string advice = ::geteuid() == 0 ? fmt::format("'chown root {}' makes it root's", path)
                                              : std::string("use one of your own");
  return fmt::format("{} belongs to user {}, who could change it; {}", path, found.st_uid, advice);
}

std::optional<std::string> Trust::against_writers(const struct stat& found,
                                                  const std::string& path) const {
  if ((found.st_mode & kOthersWrite) == 0) return std::nullopt;
  return fmt::format("other users may write {} (mode {:04o}); 'chmod go-w {}' keeps them out", path,
                     found.st_mode & kPermissions, path);
}

std::optional<std::string> Trust::against_way(const struct stat& found, int file,
                                              const std::string& path) const {
  if (found.st_uid != caller_) {
    if (auto against = against_owner(found, path)) return against;
  }
  const mode_t writers = found.st_mode & kOthersWrite;
  if (writers == 0 || (found.st_mode & S_ISVTX) != 0) return std::nullopt;
  if (writers == S_IWGRP && is_private_group(found.st_gid, found.st_uid)) return std::nullopt;
  if (is_mounted_read_only(file)) return std::nullopt;
  return against_writers(found, path);
}

Result<> Trust::judge(const std::optional<std::string>& against) const {
  if (!against || foreign_ == Foreign::kAdmit) return {};
  return fail(kNotTrusted, *against + way_out_);
}

Result<> Trust::check_way(const struct stat& found, int file, const std::string& path) const {
  return judge(against_way(found, file, path));
}

Result<> Trust::check_link(const struct stat& link, const struct stat& folder, int file,
                           const std::string& path) const {
  const bool good =
      !against_way(folder, file, path) && (owns(link.st_uid) || link.st_uid == caller_);
  if (good) return {};
  return fail(kNotTrusted,
              fmt::format("{} is a symbolic link that user {} could have made; give the path that "
                          "it stands for",
                          path, link.st_uid));
}

Result<> Trust::check_owner(const struct stat& found, const std::string& path) const {
  if (auto against = against_owner(found, path)) return judge(against);
  return judge(against_writers(found, path));
}

Result<> Trust::check_file(const struct stat& found, OtherNames others,
                           const std::string& path) const {
  if (!S_ISREG(found.st_mode)) {
    return fail(kNotTrusted, path + " is not a regular file, as it has to be; remove it");
  }
  if (others == OtherNames::kRefuse && found.st_nlink > 1) {
    return fail(kNotTrusted, fmt::format("{} has another name (a hard link), which could be any "
                                         "file; put a copy in its place",
                                         path));
  }
  if (auto against = against_owner(found, path)) return judge(against);
  return judge(against_writers(found, path));
}

}  // namespace spillfs
