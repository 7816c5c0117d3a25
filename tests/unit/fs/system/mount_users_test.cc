// SPDX-License-Identifier: Apache-2.0
#include "fs/system/mount_users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

// memfds are on a file system that no program works in.
std::string device_of(const Fd& file) {
  struct stat found {};
  ::fstat(file.get(), &found);
  return fmt::format("{}:{}", major(found.st_dev), minor(found.st_dev));
}

class MountUsers : public testing::TestWithParam<bool> {};

TEST_P(MountUsers, AreSeenByWhatTheyHold) {
  Fd file(::memfd_create("users", 0));
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  const std::string device = device_of(file);
  void* mapped = MAP_FAILED;
  if (GetParam()) {
    mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.get(), 0);
    file.reset();
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto users = users_of_device(device);
  const auto found =
      std::find_if(users.begin(), users.end(), [&](const auto& user) { return user.pid == child; });
  EXPECT_NE(found, users.end()) << list_of(users);
  if (found != users.end()) {
    EXPECT_EQ(found->name, process_name(::getpid()));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (mapped != MAP_FAILED) ::munmap(mapped, 4096);
  EXPECT_TRUE(users_of_device("0:0").empty());
}
INSTANTIATE_TEST_SUITE_P(FilesAndMappings, MountUsers, testing::Bool());

TEST(MountUsersList, IsShort) {
  std::vector<UsingProcess> users;
  EXPECT_EQ(list_of(users), "");
  for (pid_t pid = 1; pid <= 10; ++pid) users.push_back({.pid = pid, .name = "a\nb"});
  users.resize(2);
  EXPECT_EQ(list_of(users), "1 (a\\nb), 2 (a\\nb)");
  users.resize(10);
  EXPECT_TRUE(list_of(users).ends_with(" and 2 more"));
}

}  // namespace
}  // namespace spillfs::fs
