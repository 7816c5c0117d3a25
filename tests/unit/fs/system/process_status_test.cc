// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_status.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace spillfs::fs {
namespace {

constexpr pid_t kNoThread = 0x7fff'fff0;

TEST(ProcessStatus, HasTheNumbersOfALine) {
  const ProcessStatus own(::getpid());
  const auto user = static_cast<std::uint64_t>(::geteuid());
  EXPECT_EQ(own.numbers("Uid"), std::vector<std::uint64_t>(4, user));
  EXPECT_EQ(own.number("Pid"), static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(own.number("SigQ"), own.numbers("SigQ").front()) << "numbers end at a slash";
  EXPECT_TRUE(own.number("CapBnd", 16).has_value());
}

TEST(ProcessStatus, HasNoLineOfAnotherKey) {
  const ProcessStatus own(::getpid());
  EXPECT_EQ(own.line("Ui"), "");
  EXPECT_EQ(own.line("id"), "");
  EXPECT_EQ(own.number("Name"), std::nullopt);
}

TEST(ProcessStatus, ANameForgesNoLine) {
  std::thread([] {
    ::prctl(PR_SET_NAME, "x\nTgid: 1");
    const auto thread = static_cast<pid_t>(::syscall(SYS_gettid));
    EXPECT_EQ(ProcessStatus(thread).number("Tgid"), static_cast<std::uint64_t>(::getpid()));
    EXPECT_EQ(process_of(thread), ::getpid());
  }).join();
}

TEST(ProcessStatus, NothingIsFoundOfWhatIsGone) {
  const ProcessStatus gone(kNoThread);
  EXPECT_EQ(gone.line("Name"), "");
  EXPECT_TRUE(gone.numbers("Uid").empty());
  EXPECT_EQ(process_of(kNoThread), 0);
}

TEST(ProcessStatus, OursIsTheProcOfATest) { EXPECT_TRUE(proc_is_ours()); }

}  // namespace
}  // namespace spillfs::fs
