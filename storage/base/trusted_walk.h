// SPDX-License-Identifier: Apache-2.0
// Follows a path step by step, so that each directory on it is looked at before it is gone through,
// and what was looked at is what is gone through.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/trust.h"

namespace spillfs {

// What to do about directories of a path that are not there: they are made for this user alone.
enum class Missing : std::uint8_t { kRefuse, kMakeLast, kMakeAll };

struct TrustedPlace {
  Fd file;  // O_PATH
  struct stat status {};
  std::string path;  // absolute, without symbolic links
};

// What lies at `path`, from the current directory where it is relative. Symbolic links are
// followed, also at its end, where only trusted users can have made them. EPERM as Trust says, of a
// directory on the way, not of what is found; ELOOP; or what the system says.
Result<TrustedPlace> walk_to(const std::string& path, const Trust& trust,
                             Missing missing = Missing::kRefuse);

}  // namespace spillfs
