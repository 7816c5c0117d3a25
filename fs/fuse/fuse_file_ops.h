// SPDX-License-Identifier: Apache-2.0
// The FUSE operations on open files and directories, and what both halves of the shim share.
#pragma once

#include "fs/fuse/fuse_api.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {

// How long the kernel may keep names and attributes: the daemon is the only writer, and every
// change comes through this kernel.
inline constexpr double kCacheSeconds = 86400;
// The control files change by themselves.
double cache_seconds(const Attributes& attributes);

fuse_entry_param entry_of(const Attributes& attributes);
// Answers CREATE and OPEN. By ourselves: what passthrough needs is not in every libfuse. A file
// whose opener is gone is released.
void reply_created(fuse_req_t request, const Opened& opened);
void reply_opened(fuse_req_t request, const Opened& opened);
// The raw request this thread is serving.
Bytes current_request();
// What a SETXATTR that it is says of set-gid.
SetGid current_set_gid();

void add_file_operations(fuse_lowlevel_ops& ops);

}  // namespace spillfs::fs
