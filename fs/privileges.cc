// SPDX-License-Identifier: Apache-2.0
#include "fs/privileges.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace spillfs::fs {
namespace {

struct Credentials {
  uid_t user = ~uid_t{0};
  std::vector<gid_t> groups;
  std::uint64_t capabilities = 0;

  // Of the machine: in a namespace of its own a process has capabilities and is not root here.
  [[nodiscard]] bool may_set_ids() const {
    return user == 0 && (capabilities >> CAP_FSETID & 1) != 0;
  }
};

// Those that count for files: of user and group the last of the four. None where /proc does not
// tell.
Credentials credentials_of(pid_t thread) {
  Credentials found;
  if (thread <= 0) return found;
  std::ifstream status(fmt::format("/proc/{}/status", thread));
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "CapEff:") words >> std::hex >> found.capabilities;
    if (key != "Uid:" && key != "Gid:" && key != "Groups:") continue;
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id = 0; words >> id;) ids.push_back(id);
    if (ids.empty()) continue;
    if (key == "Uid:") found.user = ids.back();
    if (key == "Gid:") found.groups.push_back(ids.back());
    if (key == "Groups:") found.groups.insert(found.groups.end(), ids.begin(), ids.end());
  }
  return found;
}

}  // namespace

std::uint32_t mode_after_change(std::uint32_t mode, const std::function<bool()>& may_keep_set_gid) {
  constexpr std::uint32_t kSetUid = S_ISUID;
  constexpr std::uint32_t kSetGid = S_ISGID;
  if (S_ISDIR(mode) || (mode & (kSetUid | kSetGid)) == 0) return mode;
  mode &= ~kSetUid;
  if ((mode & kSetGid) == 0) return mode;
  const bool goes = (mode & S_IXGRP) != 0 || !may_keep_set_gid();
  return goes ? mode & ~kSetGid : mode;
}

bool may_keep_set_gid(pid_t thread, gid_t group) {
  const Credentials who = credentials_of(thread);
  return who.may_set_ids() ||
         std::find(who.groups.begin(), who.groups.end(), group) != who.groups.end();
}

bool may_keep_privileges(pid_t thread) { return credentials_of(thread).may_set_ids(); }

}  // namespace spillfs::fs
