// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_setxattr.h"

#include <cstring>

#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"

namespace spillfs::fs {

SetGid take_setxattr_flags(MutableBytes& request, const KernelFeatures& features) {
  constexpr std::size_t kKept = sizeof(protocol::InHeader) + protocol::kShortSetxattr;
  constexpr std::uint32_t kTaken = sizeof(protocol::SetxattrIn) - protocol::kShortSetxattr;
  if (!features.long_setxattr || request.size() < kKept + kTaken) return SetGid::kStays;
  auto header = load<protocol::InHeader>(request);
  if (header.opcode != protocol::kSetxattr) return SetGid::kStays;
  const auto body = load<protocol::SetxattrIn>(request.subspan(sizeof(header)));
  std::memmove(&request[kTaken], request.data(), kKept);
  request = request.subspan(kTaken);
  header.len -= kTaken;
  std::memcpy(request.data(), &header, sizeof(header));
  const bool kills = (body.setxattr_flags & protocol::kSetxattrKillsSetGid) != 0;
  return kills ? SetGid::kGoes : SetGid::kStays;
}

}  // namespace spillfs::fs
