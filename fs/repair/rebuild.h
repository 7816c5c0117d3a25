// SPDX-License-Identifier: Apache-2.0
// check --rebuild: a new index from the segments alone. What only the old one knew is gone: names
// given since the last seal, modes of directories, links, empty files, most xattrs, and which files
// had been deleted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fs/system/progress.h"
#include "index/index.h"
#include "storage/segments.h"

namespace spillfs::fs {

struct RebuildReport {
  std::uint64_t files = 0;        // lost ones included
  std::uint64_t directories = 0;  // but for the root
  std::uint64_t lost = 0;         // in /lost+found
  std::uint64_t damaged = 0;      // records and segments, each was told to `tell`
  std::uint64_t left_out = 0;     // segments that stay as they are, outside of the index
};

// Calls `tell` with a sentence for each thing that is damaged or doubtful. `index` is empty.
// `progress` is told of the segments read.
Result<RebuildReport> rebuild_index(index::Index& index, storage::SegmentStore& segments,
                                    const std::function<void(const std::string&)>& tell,
                                    const TellProgress& progress = {});

}  // namespace spillfs::fs
