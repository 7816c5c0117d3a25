// SPDX-License-Identifier: Apache-2.0
// The daemon's log in its store: spillfs.log, and the two before it, spillfs.1.log and
// spillfs.2.log.
#pragma once

#include <spdlog/common.h>

#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {

inline constexpr std::uint64_t kLogSize = 10 * kMiB;  // of each

// Appends to it and begins another where it has become `largest`; several processes may. Opens
// nothing but a file of its own in `folder`: errors as TrustedDirectory::open_file() has them.
Result<spdlog::sink_ptr> make_log_file(const TrustedDirectory& folder,
                                       std::uint64_t largest = kLogSize);

}  // namespace spillfs::fs
