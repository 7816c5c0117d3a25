// SPDX-License-Identifier: Apache-2.0
// The protocol as the daemon has it is the one of the kernel's header that is installed, as far as
// the oldest supported distribution's goes (7.38).
#include "fs/fuse/fuse_protocol.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include "fs/fuse/fuse_opcodes.h"

namespace spillfs::fs {
namespace {

template <class Ours, class Theirs>
constexpr bool kSameSize = sizeof(Ours) == sizeof(Theirs);

TEST(FuseProtocol, StructuresAreTheKernels) {
  EXPECT_EQ(protocol::kMajor, static_cast<std::uint32_t>(FUSE_KERNEL_VERSION));
  EXPECT_TRUE((kSameSize<protocol::InHeader, fuse_in_header>));
  EXPECT_TRUE((kSameSize<protocol::OutHeader, fuse_out_header>));
  EXPECT_TRUE((kSameSize<protocol::InitIn, fuse_init_in>));
  EXPECT_TRUE((kSameSize<protocol::InitOut, fuse_init_out>));
  EXPECT_TRUE((kSameSize<protocol::Attr, fuse_attr>));
  EXPECT_TRUE((kSameSize<protocol::EntryOut, fuse_entry_out>));
  EXPECT_TRUE((kSameSize<protocol::OpenIn, fuse_open_in>));
  EXPECT_TRUE((kSameSize<protocol::OpenOut, fuse_open_out>));
  EXPECT_TRUE((kSameSize<protocol::CreateIn, fuse_create_in>));
  EXPECT_TRUE((kSameSize<protocol::ReleaseIn, fuse_release_in>));
  EXPECT_TRUE((kSameSize<protocol::WriteIn, fuse_write_in>));
  EXPECT_TRUE((kSameSize<protocol::WriteOut, fuse_write_out>));
  EXPECT_TRUE((kSameSize<protocol::SetattrIn, fuse_setattr_in>));
  EXPECT_TRUE((kSameSize<protocol::SetxattrIn, fuse_setxattr_in>));
}

TEST(FuseProtocol, FieldsLieWhereTheKernelHasThem) {
  EXPECT_EQ(offsetof(protocol::InHeader, nodeid), offsetof(fuse_in_header, nodeid));
  EXPECT_EQ(offsetof(protocol::InHeader, pid), offsetof(fuse_in_header, pid));
  EXPECT_EQ(offsetof(protocol::InitIn, flags2), offsetof(fuse_init_in, flags2));
  EXPECT_EQ(offsetof(protocol::InitOut, max_background), offsetof(fuse_init_out, max_background));
  EXPECT_EQ(offsetof(protocol::InitOut, max_write), offsetof(fuse_init_out, max_write));
  EXPECT_EQ(offsetof(protocol::InitOut, max_pages), offsetof(fuse_init_out, max_pages));
  EXPECT_EQ(offsetof(protocol::InitOut, flags2), offsetof(fuse_init_out, flags2));
  EXPECT_EQ(offsetof(protocol::Attr, atimensec), offsetof(fuse_attr, atimensec));
  EXPECT_EQ(offsetof(protocol::Attr, blksize), offsetof(fuse_attr, blksize));
  EXPECT_EQ(offsetof(protocol::EntryOut, attr), offsetof(fuse_entry_out, attr));
  EXPECT_EQ(offsetof(protocol::OpenOut, open_flags), offsetof(fuse_open_out, open_flags));
  EXPECT_EQ(offsetof(protocol::CreateIn, umask), offsetof(fuse_create_in, umask));
  EXPECT_EQ(offsetof(protocol::WriteIn, write_flags), offsetof(fuse_write_in, write_flags));
  EXPECT_EQ(offsetof(protocol::SetattrIn, mode), offsetof(fuse_setattr_in, mode));
  EXPECT_EQ(offsetof(protocol::SetxattrIn, setxattr_flags),
            offsetof(fuse_setxattr_in, setxattr_flags));
}

TEST(FuseProtocol, FlagsAreTheKernels) {
  constexpr std::uint64_t kOurs =
      protocol::kInitAsyncRead | protocol::kInitAtomicTruncate | protocol::kInitExportSupport |
      protocol::kInitBigWrites | protocol::kInitDontMask | protocol::kInitReaddirplus |
      protocol::kInitReaddirplusAuto | protocol::kInitAsyncDirect | protocol::kInitParallelDirops |
      protocol::kInitPosixAcl | protocol::kInitMaxPages | protocol::kInitExplicitInvalidation |
      protocol::kInitKillprivV2 | protocol::kInitLongSetxattr | protocol::kInitExt;
  constexpr std::uint64_t kTheirs = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT |
                                    FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_DO_READDIRPLUS |
                                    FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                                    FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_EXPLICIT_INVAL_DATA |
                                    FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT;
  EXPECT_EQ(kOurs, kTheirs);
  EXPECT_EQ(protocol::kWriteKillsPrivileges, std::uint32_t{FUSE_WRITE_KILL_SUIDGID});
  EXPECT_EQ(protocol::kOpenKillsPrivileges, std::uint32_t{FUSE_OPEN_KILL_SUIDGID});
  EXPECT_EQ(protocol::kSetxattrKillsSetGid, std::uint32_t{FUSE_SETXATTR_ACL_KILL_SGID});
  EXPECT_EQ(protocol::kSetattrHandle, std::uint32_t{FATTR_FH});
  EXPECT_EQ(protocol::kSetattrLockOwner, std::uint32_t{FATTR_LOCKOWNER});
  EXPECT_EQ(protocol::kSetattrKillsPrivileges, std::uint32_t{FATTR_KILL_SUIDGID});
  EXPECT_EQ(protocol::kOpenDirect, std::uint32_t{FOPEN_DIRECT_IO});
  EXPECT_EQ(protocol::kOpenKeepCache, std::uint32_t{FOPEN_KEEP_CACHE});
  EXPECT_EQ(protocol::kOpenNoFlush, std::uint32_t{FOPEN_NOFLUSH});
  EXPECT_EQ(protocol::kShortSetxattr, std::size_t{FUSE_COMPAT_SETXATTR_IN_SIZE});
  EXPECT_EQ(protocol::kClone, FUSE_DEV_IOC_CLONE);
}

TEST(FuseProtocol, NumbersOfRequestsAreTheKernels) {
  EXPECT_EQ(protocol::kLookup, std::uint32_t{FUSE_LOOKUP});
  EXPECT_EQ(protocol::kSetattr, std::uint32_t{FUSE_SETATTR});
  EXPECT_EQ(protocol::kOpen, std::uint32_t{FUSE_OPEN});
  EXPECT_EQ(protocol::kRead, std::uint32_t{FUSE_READ});
  EXPECT_EQ(protocol::kWrite, std::uint32_t{FUSE_WRITE});
  EXPECT_EQ(protocol::kRelease, std::uint32_t{FUSE_RELEASE});
  EXPECT_EQ(protocol::kSetxattr, std::uint32_t{FUSE_SETXATTR});
  EXPECT_EQ(protocol::kInit, std::uint32_t{FUSE_INIT});
  EXPECT_EQ(protocol::kCreate, std::uint32_t{FUSE_CREATE});
  EXPECT_EQ(protocol::kInterrupt, std::uint32_t{FUSE_INTERRUPT});
  EXPECT_EQ(protocol::kNotifyReply, std::uint32_t{FUSE_NOTIFY_REPLY});
  EXPECT_EQ(protocol::kBatchForget, std::uint32_t{FUSE_BATCH_FORGET});
  EXPECT_EQ(protocol::kLseek, std::uint32_t{FUSE_LSEEK});
  EXPECT_EQ(protocol::kSyncfs, std::uint32_t{FUSE_SYNCFS});
  EXPECT_EQ(protocol::kTmpfile, std::uint32_t{FUSE_TMPFILE});
}

}  // namespace
}  // namespace spillfs::fs
