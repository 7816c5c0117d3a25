// SPDX-License-Identifier: Apache-2.0
// Where ACLs are on, the kernel adds flags to SETXATTR (FUSE_SETXATTR_EXT) that not every libfuse
// knows: they are taken out of the raw request before it sees it.
#pragma once

#include "fs/fuse/fuse_kernel.h"
#include "fs/volume/names/inode_acls.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {

// Makes a SETXATTR with flags one without; `request` then begins later in its memory. Says what
// they were. Leaves every other request as it is.
SetGid take_setxattr_flags(MutableBytes& request, const KernelFeatures& features);

}  // namespace spillfs::fs
