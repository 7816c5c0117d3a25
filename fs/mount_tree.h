// SPDX-License-Identifier: Apache-2.0
// A mount as a ReapTree: through the mount itself, as whoever runs this.
#pragma once

#include <memory>
#include <string>

#include "fs/reaper.h"

namespace spillfs::fs {

// EINVAL when no spillfs is mounted there.
Result<std::unique_ptr<ReapTree>> open_mount_tree(const std::string& mountpoint);

}  // namespace spillfs::fs
