// SPDX-License-Identifier: Apache-2.0
// Which requests a read-only mount refuses. The kernel knows that the mount is read-only and sends
// none of them, unless somebody has made it writable again past mount.spillfs.
#pragma once

#include "storage/base/bytes.h"

namespace spillfs::fs {

// Whether a raw request, as read from /dev/fuse, would change a file, a name or an attribute, or
// opens a file to do so.
bool changes_files(Bytes request);

}  // namespace spillfs::fs
