// SPDX-License-Identifier: Apache-2.0
// The FUSE operations: each takes a request, calls Volume, replies. Every one is answered exactly
// once. No operation waits in its thread: Parking does.
#pragma once

#include "fs/control/control_files.h"
#include "fs/fuse/clients.h"
#include "fs/fuse/fuse_api.h"
#include "fs/fuse/fuse_kernel.h"
#include "fs/fuse/fuse_request_times.h"
#include "fs/fuse/fuse_requests.h"
#include "fs/fuse/parking.h"
#include "fs/fuse/requesters.h"
#include "fs/volume/volume.h"
#include "storage/base/slow_watch.h"

namespace spillfs::fs {

// The userdata of the libfuse session. What it points to outlives it.
struct FuseContext {
  Volume* volume = nullptr;
  ControlFiles* control = nullptr;
  Parking* parking = nullptr;
  RequestCounters* requests = nullptr;
  RequestTimes* times = nullptr;
  Clients* clients = nullptr;
  SlowWatch* slow = nullptr;
  const Requesters* requesters = nullptr;
  storage::Access access = storage::Access::kReadWrite;
  int fuse = -1;  // for replies that libfuse does not know
  KernelFeatures features;
};

fuse_lowlevel_ops fuse_operations();

// Answers one raw request, through libfuse or, where it does not know the operation, by itself.
void serve_request(fuse_session& session, FuseContext& context, MutableBytes request);

}  // namespace spillfs::fs
