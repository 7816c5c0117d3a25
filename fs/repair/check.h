// SPDX-License-Identifier: Apache-2.0
// check: does everything the index says hold, in itself and against the bytes on disk? Reads only;
// the store must not be mounted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fs/system/boot.h"
#include "fs/system/progress.h"
#include "index/index.h"
#include "storage/segments.h"

namespace spillfs::fs {

struct CheckReport {
  std::uint64_t inodes = 0;
  std::uint64_t names = 0;
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;     // compared with their sums
  std::uint64_t doubtful = 0;  // files that a loss of power may have taken: not compared
  std::uint64_t problems = 0;  // each was told to `problem`
};

// Calls `problem` with a sentence for each thing that is wrong. What was left
// unsynced before the machine was booted, or may have been, is for the next mount to settle, and no
// problem. `progress` is told of the bytes compared.
Result<CheckReport> check_store(index::Index& index, storage::SegmentStore& segments,
                                const BootView& boot,
                                const std::function<void(const std::string&)>& problem,
                                const TellProgress& progress = {});

}  // namespace spillfs::fs
