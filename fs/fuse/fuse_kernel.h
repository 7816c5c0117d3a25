// SPDX-License-Identifier: Apache-2.0
// What the kernel and the daemon agree on: our own answer to FUSE_INIT, so that it does not depend
// on the version of libfuse, and the parts of a request that libfuse does not hand on. Their layout
// is in fs/fuse/fuse_protocol.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/config/kernel_features.h"
#include "storage/base/bytes.h"
#include "storage/base/ids.h"
#include "storage/base/result.h"

namespace spillfs::fs {

inline constexpr std::uint32_t kMaxWrite = kMiB;  // bytes of one request
// A receive buffer holds a whole request: data and headers.
inline constexpr std::size_t kRequestBuffer = kMaxWrite + 2 * 4096;

// Reads the kernel's INIT from a fresh mount's descriptor and answers it, with what it offers and
// `without` does not leave out. Returns the request, to be replayed into a libfuse session, with
// what was agreed in place of what was offered. Waits for the request; EIO when something else
// comes.
Result<std::vector<std::byte>> answer_init(int fuse, FeatureSet without);

// Programs whose hand-over is of version 1 hand over the request as the kernel sent it: leaves in
// it what such a program may have agreed to.
void leave_what_version_1_agreed(std::vector<std::byte>& init);

// What was agreed, from the request that answer_init() returned.
struct KernelFeatures {
  std::uint32_t minor = 0;  // of the protocol 7.x
  FeatureSet on;
  bool long_setxattr = false;  // with flags: fs/fuse/fuse_setxattr.h
  // Requests have the ids of what is made, whatever a reload has left out since.
  bool maps_ids = false;
};
KernelFeatures features_of(Bytes init, FeatureSet without);
// "protocol 7.45, on: large_requests…, off: none", for status and --version.
std::string describe(const KernelFeatures& features);
// Takes kPassthrough away where the kernel does not let us register a file such as `file`. The
// number that it had meanwhile, 0 where it had none.
int probe_passthrough(int fuse, int file, KernelFeatures& features);
// What this kernel would agree to, from a mount that no one sees. EPERM for an ordinary user.
Result<KernelFeatures> probe_kernel();

// Registers a file whose reads and writes the kernel then does by itself
// (FUSE_DEV_IOC_BACKING_OPEN); returns the id that replies name it by. EPERM without CAP_SYS_ADMIN.
Result<int> open_backing(int fuse, int file);
void close_backing(int fuse, int backing_id);
// The ioctl(2) requests that a session makes of /dev/fuse.
std::vector<unsigned long> device_calls();

// Whose number a raw request has. One that a process before this one took and did not answer comes
// again under the same number.
struct RequestNumber {
  RequestId id = kNoRequest;
  bool again = false;
};
RequestNumber number_of(Bytes request);
// Has the kernel send again whatever has been taken and not answered. Before anything is read: what
// this process takes is not to come twice.
Result<> ask_for_resend(int fuse);

// Whether the raw request says that set-uid and set-gid of its file must go: a write, a truncation,
// an open, or a SETATTR of nothing, which the kernel sends ahead of what says nothing by itself,
// such as FALLOCATE, COPY_FILE_RANGE and a write in passthrough mode.
bool wants_privileges_killed(Bytes request, FeatureSet on);
// Whether it is an open that truncates.
bool opens_to_truncate(Bytes request);

// The raw parts of O_TMPFILE, which libfuse does not know.
struct TmpfileRequest {
  std::uint64_t unique = 0;
  std::uint64_t directory = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  std::uint32_t mode = 0;
  std::uint32_t umask = 0;
  int flags = 0;
};
bool is_tmpfile(Bytes request);
Result<TmpfileRequest> parse_tmpfile(Bytes request);

}  // namespace spillfs::fs
