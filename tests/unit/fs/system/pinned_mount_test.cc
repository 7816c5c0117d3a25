// SPDX-License-Identifier: Apache-2.0
// What is no mount of spillfs; mounts are in tests/security/verbs_test.py.
#include "fs/system/pinned_mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fs/cli/shared/live_mount.h"
#include "fs/daemon/own_mount.h"
#include "fs/system/descriptor_info.h"

namespace spillfs::fs {
namespace {

TEST(PinnedMount, OtherFileSystemsAndDirectoriesAreNone) {
  for (const std::string& path :
       std::vector<std::string>{"/", "/proc", testing::TempDir(), "/nowhere", ""}) {
    EXPECT_EQ(PinnedMount::at(path).error().code, EINVAL) << path;
    EXPECT_EQ(trusted_mount(path).error().code, EINVAL) << path;
    EXPECT_EQ(read_control_text(path, "status"), "") << path;
  }
}

TEST(OwnMount, OneThatIsNotKnownIsGone) {
  const OwnMount none;
  EXPECT_EQ(none.pin().error().code, ENOENT);
  EXPECT_TRUE(none.unmount(-1));
  const OwnMount gone({.id = ~std::uint64_t{0}, .device = "0:1", .unique = 7});
  EXPECT_EQ(gone.pin().error().code, ENOENT);
  EXPECT_EQ(OwnMount::find(-1, "/proc").numbers(), MountNumbers{});
}

TEST(OwnMount, ItsDescriptorGoesWithIt) {
  Fd fuse(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(OwnMount().end(fuse));
  EXPECT_FALSE(fuse);
}

TEST(DescriptorInfo, HasWhatTheKernelSays) {
  const Fd proc(::open("/proc", O_PATH | O_CLOEXEC));
  EXPECT_EQ(descriptor_number(proc.get(), "mnt_id"), mount_of("/proc/x")->id);
  EXPECT_EQ(descriptor_number(proc.get(), "fuse_connection"), std::nullopt);
  EXPECT_EQ(descriptor_number(-1, "mnt_id"), std::nullopt);
}

}  // namespace
}  // namespace spillfs::fs
