// SPDX-License-Identifier: Apache-2.0
// What the kernel and the daemon agree on: our own answer to FUSE_INIT, so that it does not depend
// on the version of libfuse, and the parts of a request that libfuse does not hand on. The kernel's
// linux/fuse.h is the reference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::fs {

inline constexpr std::uint32_t kMaxWrite = kMiB;  // bytes of one request
// A receive buffer holds a whole request: data and headers.
inline constexpr std::size_t kRequestBuffer = kMaxWrite + 2 * 4096;

// Reads the kernel's INIT from a fresh mount's descriptor and answers it. Returns the request, to
// be replayed into a libfuse session. Waits for the request; EIO when something else comes.
Result<std::vector<std::byte>> answer_init(int fuse);

// What was agreed, from the request that answer_init() returned.
struct KernelFeatures {
  std::uint32_t minor = 0;  // of the protocol 7.x
  bool direct_writes =
      false;              // direct writes drop cached pages, so that readers never see old ones
  bool killpriv = false;  // requests say when set-uid and set-gid bits must go
  bool resend = false;    // requests of a dead worker can be sent again
};
KernelFeatures features_of(Bytes init);
// "protocol 7.40, 1 MiB requests, …", for status and --version.
std::string describe(const KernelFeatures& features);

// Whether the raw request says that the write, truncate or open must clear set-uid and set-gid.
bool wants_privileges_killed(Bytes request);

// The raw parts of O_TMPFILE, which libfuse does not know.
struct TmpfileRequest {
  std::uint64_t unique = 0;
  std::uint64_t directory = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0;
  int flags = 0;
};
bool is_tmpfile(Bytes request);
Result<TmpfileRequest> parse_tmpfile(Bytes request);

}  // namespace spillfs::fs
