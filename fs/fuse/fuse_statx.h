// SPDX-License-Identifier: Apache-2.0
// STATX, by which the kernel asks for attributes and the time of birth (7.39); not every libfuse
// knows it.
#pragma once

#include "fs/fuse/fuse_ops.h"
#include "storage/base/bytes.h"

namespace spillfs::fs {

bool is_statx(Bytes request);
// Answers a raw request that is_statx().
void serve_statx(FuseContext& context, Bytes request);

}  // namespace spillfs::fs
