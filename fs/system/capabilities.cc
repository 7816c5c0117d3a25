// SPDX-License-Identifier: Apache-2.0
#include "fs/system/capabilities.h"

#include <cap-ng.h>
#include <linux/capability.h>
#include <sys/prctl.h>

#include <cerrno>

namespace spillfs::fs {
namespace {

constexpr unsigned kMost = 64;

CapabilitySet present(capng_type_t type) {
  std::uint64_t bits = 0;
  for (unsigned each = 0; each < kMost && capng_capability_to_name(each) != nullptr; ++each) {
    if (capng_have_capability(type, each) == 1) bits |= std::uint64_t{1} << each;
  }
  return CapabilitySet::of_bits(bits);
}

void put(capng_type_t type, CapabilitySet these) {
  for (unsigned each = 0; each < kMost; ++each) {
    if (these.has(static_cast<int>(each))) capng_update(CAPNG_ADD, type, each);
  }
}

Result<> apply(CapabilitySet permitted, CapabilitySet effective) {
  capng_clear(CAPNG_SELECT_CAPS);
  put(CAPNG_PERMITTED, permitted);
  put(CAPNG_EFFECTIVE, effective);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return fail_errno(errno, "give capabilities up");
  return {};
}

Result<> read_own() {
  capng_setpid(0);
  if (capng_get_caps_process() != 0) return fail(ENOSYS, "this process's capabilities are unknown");
  return {};
}

}  // namespace

std::vector<std::string> CapabilitySet::names() const {
  std::vector<std::string> names;
  for (unsigned each = 0; each < kMost; ++each) {
    if (!has(static_cast<int>(each))) continue;
    const char* name = capng_capability_to_name(each);
    std::string text = name == nullptr ? std::to_string(each) : name;
    for (char& c : text) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    names.push_back("CAP_" + text);
  }
  return names;
}

CapabilitySet held_capabilities() {
  return read_own() ? present(CAPNG_EFFECTIVE) : CapabilitySet();
}

Result<> use_capabilities(CapabilitySet these) {
  SPILLFS_TRY(read_own());
  const CapabilitySet permitted = present(CAPNG_PERMITTED);
  return apply(permitted, permitted & these);
}

Result<> keep_capabilities(CapabilitySet these) {
  SPILLFS_TRY(read_own());
  const CapabilitySet kept = present(CAPNG_PERMITTED) & these;
  return apply(kept, kept);
}

Result<> bound_capabilities(CapabilitySet these) {
  if (!held_capabilities().has(CAP_SETPCAP)) return {};
  for (int each = 0; ::prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; ++each) {
    if (these.has(each)) continue;
    if (::prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0) {
      return fail_errno(errno, "bound the capabilities of programs");
    }
  }
  return {};
}

}  // namespace spillfs::fs
