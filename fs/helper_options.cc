// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fs/helpers.h"
#include "fs/options.h"

namespace spillfs::fs {
namespace {

// mount(8) handles these, or they say what is so anyway: FUSE mounts are nosuid and nodev, and
// reads do not move the access time.
constexpr std::array<std::string_view, 27> kLeftOut{"defaults",      "rw",
                                                    "auto",          "noauto",
                                                    "user",          "nouser",
                                                    "users",         "owner",
                                                    "noowner",       "group",
                                                    "nogroup",       "nofail",
                                                    "_netdev",       "nosuid",
                                                    "nodev",         "exec",
                                                    "async",         "silent",
                                                    "loud",          "relatime",
                                                    "norelatime",    "nomand",
                                                    "diratime",      "nolazytime",
                                                    "nostrictatime", "default_permissions",
                                                    "nodiratime"};
constexpr std::array<std::string_view, 6> kLeftOutWith{
    "x-", "X-", "comment=", "user=", "helper=", "uhelper="};
constexpr std::array<std::string_view, 2> kForTheKernel{"noexec", "noatime"};

struct Refused {
  std::string_view name;
  std::string_view why;
};
constexpr std::string_view kAlwaysNosuid = "a mount is always nosuid and nodev";
constexpr std::string_view kNoAccessTimes = "reads do not move the access time";
constexpr std::string_view kSync = "write durability=fsync: what was closed survives then";
constexpr std::string_view kOwnOwners =
    "files have owners and modes of their own; change them with chown and chmod";
constexpr std::string_view kLargestRequests = "requests are as large as the kernel lets them be";
constexpr std::string_view kOwnNames = "the mount table has the store and fuse.spillfs";
constexpr std::array kRefused{
    Refused{"ro", "nothing can be spilled where nothing can be written"},
    Refused{"suid", kAlwaysNosuid},
    Refused{"dev", kAlwaysNosuid},
    Refused{"atime", kNoAccessTimes},
    Refused{"strictatime", kNoAccessTimes},
    Refused{"lazytime", kNoAccessTimes},
    Refused{"sync", kSync},
    Refused{"dirsync", kSync},
    Refused{"remount", "change the configuration file, then 'spillfs upgrade MOUNTPOINT'"},
    Refused{"size", "write quota=SIZE"},
    Refused{"uid", kOwnOwners},
    Refused{"gid", kOwnOwners},
    Refused{"umask", kOwnOwners},
    Refused{"mode", kOwnOwners},
    Refused{"nonempty", "a mount would hide the files that are there; give an empty directory"},
    Refused{"allow_root", "write allow_other, or no_allow_other"},
    Refused{"max_read", kLargestRequests},
    Refused{"big_writes", kLargestRequests},
    Refused{"fsname", kOwnNames},
    Refused{"subtype", kOwnNames},
};

template <class Names>
bool has(const Names& names, std::string_view word) {
  return std::find(names.begin(), names.end(), word) != names.end();
}

bool is_left_out(std::string_view word) {
  return has(kLeftOut, word) ||
         std::any_of(kLeftOutWith.begin(), kLeftOutWith.end(),
                     [&](std::string_view start) { return word.starts_with(start); });
}

bool is_own(std::string_view name) {
  const auto table = option_table();
  return std::any_of(table.begin(), table.end(), [&](const auto& s) { return s.name == name; });
}

Result<> take_word(const std::string& word, Sloppy sloppy, HelperOptions& out) {
  constexpr std::string_view kConfig = "config=";
  if (word.empty() || is_left_out(word)) return {};
  for (const Refused& refused : kRefused) {
    if (word.substr(0, word.find('=')) == refused.name)
      return fail(EINVAL, fmt::format("option '{}': {}", word, refused.why));
  }
  if (has(kForTheKernel, word)) {
    out.kernel.push_back(word);
    return {};
  }
  if (word.starts_with(kConfig)) {
    out.config = word.substr(kConfig.size());
    return {};
  }
  const std::size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  if (sloppy == Sloppy::kYes && !is_own(name)) return {};
  out.own.push_back(equals == std::string::npos ? word
                                                : option_text(name, word.substr(equals + 1)));
  return {};
}

}  // namespace

Result<HelperOptions> take_apart(const std::vector<std::string>& texts, Sloppy sloppy) {
  HelperOptions out;
  for (const std::string& text : texts) {
    for (const std::string& word : split_options(text)) {
      SPILLFS_TRY(take_word(word, sloppy, out));
    }
  }
  return out;
}

}  // namespace spillfs::fs
