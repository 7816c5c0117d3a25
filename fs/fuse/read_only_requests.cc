// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/read_only_requests.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/volume/names/attributes.h"

namespace spillfs::fs {
namespace {

constexpr std::array kRefusedKinds{
    protocol::kSetattr,   protocol::kSymlink, protocol::kMknod,       protocol::kMkdir,
    protocol::kUnlink,    protocol::kRmdir,   protocol::kRename,      protocol::kRename2,
    protocol::kLink,      protocol::kWrite,   protocol::kCreate,      protocol::kSetxattr,
    protocol::kFallocate, protocol::kTmpfile, protocol::kRemovexattr, protocol::kCopyFileRange};

}  // namespace

bool changes_files(Bytes request) {
  const auto header = load<protocol::InHeader>(request);
  if (std::find(kRefusedKinds.begin(), kRefusedKinds.end(), header.opcode) != kRefusedKinds.end())
    return true;
  if (header.opcode != protocol::kOpen ||
      request.size() < sizeof(header) + sizeof(protocol::OpenIn)) {
    return false;
  }
  const auto flags =
      static_cast<int>(load<protocol::OpenIn>(request.subspan(sizeof(header))).flags);
  return may_write(flags) || (flags & O_TRUNC) != 0;
}

}  // namespace spillfs::fs
