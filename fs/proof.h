// SPDX-License-Identifier: Apache-2.0
// Are an inode's sealed bytes those that were sealed? For files that the power may have taken.
#pragma once

#include <stop_token>

#include "index/index.h"
#include "storage/base/result.h"
#include "storage/segments.h"

namespace spillfs::fs {

// Reads all of the bytes and compares them with their sums. False as well when the segment is
// missing, cut short or another's, and when there are no sums to compare with. An error is the
// disk's, or ECANCELED when asked to stop.
Result<bool> has_its_bytes(const index::Inode& inode, index::Index& index,
                           storage::SegmentStore& segments, const std::stop_token& stop);

}  // namespace spillfs::fs
