// SPDX-License-Identifier: Apache-2.0
// The FUSE operations: each takes a request, calls Volume, replies. Every one is answered exactly
// once. No operation waits in its thread: Parking does.
#pragma once

#include "fs/clients.h"
#include "fs/control_files.h"
#include "fs/fuse_api.h"
#include "fs/fuse_kernel.h"
#include "fs/fuse_request_times.h"
#include "fs/fuse_requests.h"
#include "fs/parking.h"
#include "fs/requesters.h"
#include "fs/volume.h"
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
