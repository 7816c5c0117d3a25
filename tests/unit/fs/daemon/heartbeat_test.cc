// SPDX-License-Identifier: Apache-2.0
#include "fs/daemon/heartbeat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace spillfs::fs {
namespace {

TEST(Heartbeat, BeatsFromItsStart) {
  SupervisorCounts counts{};
  const Heartbeat heartbeat(counts);
  while (counts.beats == 0) std::this_thread::yield();
  EXPECT_EQ(counts.serving, 0U);
}

TEST(Heartbeat, SeesWhatWaitsForADisk) {
  EXPECT_FALSE(waits_for_a_disk());
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  // Who has forked so waits as for a disk, until the child ends.
  std::jthread waiting([&pipe] {
    const pid_t child = ::vfork();
    if (child == 0) {
      char byte = 0;
      static_cast<void>(::read(pipe[0], &byte, 1));
      ::_exit(0);
    }
  });
  while (!waits_for_a_disk()) std::this_thread::yield();
  EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  while (waits_for_a_disk()) std::this_thread::yield();
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace spillfs::fs
