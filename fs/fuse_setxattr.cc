// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_setxattr.h"

#include <linux/fuse.h>

#include <cstring>

namespace spillfs::fs {

SetGid take_setxattr_flags(MutableBytes& request, const KernelFeatures& features) {
  constexpr std::size_t kKept = sizeof(fuse_in_header) + FUSE_COMPAT_SETXATTR_IN_SIZE;
  constexpr std::uint32_t kTaken = sizeof(fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE;
  if (!features.long_setxattr || request.size() < kKept + kTaken) return SetGid::kStays;
  auto header = load<fuse_in_header>(request);
  if (header.opcode != FUSE_SETXATTR) return SetGid::kStays;
  const auto body = load<fuse_setxattr_in>(request.subspan(sizeof(header)));
  std::memmove(&request[kTaken], request.data(), kKept);
  request = request.subspan(kTaken);
  header.len -= kTaken;
  std::memcpy(request.data(), &header, sizeof(header));
  const bool kills = (body.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
  return kills ? SetGid::kGoes : SetGid::kStays;
}

}  // namespace spillfs::fs
