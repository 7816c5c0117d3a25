// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/read_only_requests.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <vector>

#include "fs/fuse/fuse_opcodes.h"

namespace spillfs::fs {
namespace {

bool refuses(std::uint32_t opcode) {
  fuse_in_header header{};
  header.opcode = opcode;
  return changes_files(bytes_of(header));
}

bool refuses_open(int flags) {
  struct {
    fuse_in_header header{};
    fuse_open_in open{};
  } request;
  request.header.opcode = FUSE_OPEN;
  request.open.flags = static_cast<std::uint32_t>(flags);
  return changes_files(bytes_of(request));
}

TEST(ReadOnlyRequests, WhatChangesSomethingIsRefused) {
  for (std::uint32_t opcode :
       {FUSE_SETATTR, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME,
        FUSE_RENAME2, FUSE_LINK, FUSE_WRITE, FUSE_CREATE, FUSE_SETXATTR, FUSE_REMOVEXATTR,
        FUSE_FALLOCATE, FUSE_COPY_FILE_RANGE}) {
    EXPECT_TRUE(refuses(opcode)) << opcode;
  }
  EXPECT_TRUE(refuses(protocol::kTmpfile));
}

TEST(ReadOnlyRequests, WhatOnlyLooksIsServed) {
  for (std::uint32_t opcode :
       {FUSE_LOOKUP,      FUSE_FORGET,     FUSE_BATCH_FORGET, FUSE_GETATTR,   FUSE_READLINK,
        FUSE_READ,        FUSE_STATFS,     FUSE_RELEASE,      FUSE_FLUSH,     FUSE_FSYNC,
        FUSE_FSYNCDIR,    FUSE_GETXATTR,   FUSE_LISTXATTR,    FUSE_OPENDIR,   FUSE_READDIR,
        FUSE_READDIRPLUS, FUSE_RELEASEDIR, FUSE_LSEEK,        FUSE_INTERRUPT, FUSE_DESTROY}) {
    EXPECT_FALSE(refuses(opcode)) << opcode;
  }
  EXPECT_FALSE(refuses(protocol::kStatx));
}

TEST(ReadOnlyRequests, AnOpenIsRefusedByItsFlags) {
  EXPECT_FALSE(refuses_open(O_RDONLY));
  EXPECT_FALSE(refuses_open(O_RDONLY | O_DIRECT));
  for (int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND}) {
    EXPECT_TRUE(refuses_open(flags)) << flags;
  }
}

}  // namespace
}  // namespace spillfs::fs
