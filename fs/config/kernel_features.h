// SPDX-License-Identifier: Apache-2.0
// What a kernel may be able to do for a mount. What it offers and the mount does not leave out
// (option `without`) is on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/result.h"

namespace spillfs::fs {

enum class Feature : std::uint8_t {
  kLargeRequests,   // up to 1 MiB a request, else 128 KiB
  kParallelDirops,  // lookups and listings of one directory at the same time
  kReaddirplus,     // a listing brings attributes
  kKillpriv,        // requests say when set-uid and set-gid bits must go
  kDirectMmap,      // a file may be mapped while a direct writer writes it
  kPassthrough,     // reads and writes go to the backing file without us; needs CAP_SYS_ADMIN
  kResend,          // requests of a dead worker can be sent again
  kAcl,             // it keeps to the POSIX ACLs of files
  kFileHandles,     // open_by_handle_at(2) and NFS find what the kernel has forgotten
  kBirthTime,       // statx(2) has the time of birth
  kIdmappedMounts,  // others may mount it again with ids mapped (mount_setattr(2))
};
inline constexpr std::array<std::string_view, 11> kFeatureNames{
    "large_requests", "parallel_dirops", "readdirplus",    "killpriv",
    "direct_mmap",    "passthrough",     "resend",         "acl",
    "file_handles",   "birth_time",      "idmapped_mounts"};

class FeatureSet {
 public:
  [[nodiscard]] bool has(Feature feature) const { return (bits_ & bit(feature)) != 0; }
  void add(Feature feature) { bits_ |= bit(feature); }
  void remove(Feature feature) { bits_ &= ~bit(feature); }
  [[nodiscard]] FeatureSet complement() const;

  friend bool operator==(FeatureSet, FeatureSet) = default;

 private:
  static std::uint32_t bit(Feature feature) { return 1U << static_cast<unsigned>(feature); }
  std::uint32_t bits_ = 0;
};

// "passthrough:resend", "all" or "none". EINVAL names the ones there are.
Result<FeatureSet> parse_features(std::string_view text);
// The names with `separator` in between; "none" for an empty set.
std::string format_features(FeatureSet features, std::string_view separator = ":");

}  // namespace spillfs::fs
