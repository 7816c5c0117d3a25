// SPDX-License-Identifier: Apache-2.0
// What a store is made of, opened for those who hold its lock.
#pragma once

#include <cstdint>
#include <memory>

#include "fs/config/options.h"
#include "fs/store/store.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

// Bytes of the index's disk that data leave free: `index_reserve`, or 2 % of that disk and at least
// 256 MiB.
std::uint64_t reserve_for_index(const Store& store, const MountOptions& options);

// Its segments.
Result<std::unique_ptr<storage::SegmentStore>> open_segments(const Store& store,
                                                             const MountOptions& options,
                                                             SlowWatch* watch = nullptr);
// Its segments and its index.
Result<Volume::Parts> open_parts(const Store& store, const MountOptions& options,
                                 std::unique_ptr<storage::Staging> staging,
                                 SlowWatch* watch = nullptr);

}  // namespace spillfs::fs
