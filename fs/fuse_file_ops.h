// SPDX-License-Identifier: Apache-2.0
// The FUSE operations on open files and directories, and what both halves of the shim share.
#pragma once

#include "fs/fuse_api.h"
#include "fs/fuse_kernel.h"
#include "fs/volume.h"

namespace spillfs::fs {

// How long the kernel may keep names and attributes: the daemon is the only writer, and every
// change comes through this kernel.
inline constexpr double kCacheSeconds = 86400;
// The control files change by themselves.
double cache_seconds(const struct stat& attributes);

fuse_entry_param entry_of(const struct stat& attributes);
// What the kernel is told about a freshly opened file.
fuse_file_info told_about(const KernelFeatures& features, const Opened& opened,
                          fuse_file_info asked);
// The raw request this thread is serving.
Bytes current_request();

void add_file_operations(fuse_lowlevel_ops& ops);

}  // namespace spillfs::fs
