// SPDX-License-Identifier: Apache-2.0
#include "fs/config/helper_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fs/config/options.h"

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
constexpr std::string_view kReadOnly = "read_only=yes";
constexpr std::array kRefused{
    Refused{"suid", kAlwaysNosuid},
    Refused{"dev", kAlwaysNosuid},
    Refused{"atime", kNoAccessTimes},
    Refused{"strictatime", kNoAccessTimes},
    Refused{"lazytime", kNoAccessTimes},
    Refused{"sync", kSync},
    Refused{"dirsync", kSync},
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

// What the mount table shows of a FUSE mount: mount(8) adds it to a remount.
constexpr std::array<std::string_view, 4> kOfTheMountTable{
    "user_id=", "group_id=", "max_read=", "default_permissions"};
bool is_of_the_mount_table(std::string_view word) {
  return std::any_of(kOfTheMountTable.begin(), kOfTheMountTable.end(),
                     [&](std::string_view start) { return word.starts_with(start); });
}

// The last of "ro" and "rw" counts.
storage::Access access_in(const std::vector<std::string>& words) {
  const auto last = std::find_if(words.rbegin(), words.rend(), [](const std::string& word) {
    return word == "ro" || word == "rw";
  });
  return last != words.rend() && *last == "ro" ? storage::Access::kReadOnly
                                               : storage::Access::kReadWrite;
}

bool is_own(std::string_view name) {
  const auto table = option_table();
  return std::any_of(table.begin(), table.end(), [&](const auto& s) { return s.name == name; });
}

Result<> take_word(const std::string& word, Sloppy sloppy, HelperOptions& out) {
  constexpr std::string_view kConfig = "config=";
  if (word == "rw") std::erase(out.own, kReadOnly);  // mount(8) says it where nobody did
  if (word.empty() || is_left_out(word)) return {};
  if (word == "ro") {
    out.own.emplace_back(kReadOnly);
    return {};
  }
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
  std::vector<std::string> words;
  for (const std::string& text : texts) {
    for (std::string& word : split_options(text)) words.push_back(std::move(word));
  }
  HelperOptions out;
  if (has(words, "remount")) {
    out.remount = access_in(words);
    std::erase_if(words, [](const std::string& word) {
      return word == "remount" || word == "ro" || is_of_the_mount_table(word);
    });
  }
  for (const std::string& word : words) SPILLFS_TRY(take_word(word, sloppy, out));
  return out;
}

}  // namespace spillfs::fs
