// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/privileges.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "fs/system/process_status.h"

namespace spillfs::fs {
namespace {

struct Credentials {
  uid_t user = ~uid_t{0};
  std::vector<gid_t> groups;
  std::uint64_t capabilities = 0;

  // A process in a user namespace of its own has capabilities, but is not root of the machine.
  [[nodiscard]] bool may_set_ids() const {
    return user == 0 && (capabilities >> CAP_FSETID & 1) != 0;
  }
};

// Those that count for files: of user and group the last of the four. None where /proc does not
// tell.
Credentials credentials_of(pid_t thread) {
  Credentials found;
  const ProcessStatus status(thread);
  const auto users = status.numbers("Uid");
  const auto groups = status.numbers("Gid");
  if (users.empty() || groups.empty()) return found;
  found.user = static_cast<uid_t>(users.back());
  found.groups.push_back(static_cast<gid_t>(groups.back()));
  for (const std::uint64_t group : status.numbers("Groups")) {
    found.groups.push_back(static_cast<gid_t>(group));
  }
  found.capabilities = status.number("CapEff", 16).value_or(0);
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
