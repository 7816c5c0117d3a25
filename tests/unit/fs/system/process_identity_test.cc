// SPDX-License-Identifier: Apache-2.0
#include "fs/system/process_identity.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "fs/system/namespaces.h"

namespace spillfs::tests {
namespace {

using fs::Creator;
using fs::Process;

const fs::Machine kHere{.boot = {.id = "b", .certain = true}, .pid_namespace = 7};

// A child that waits until it is killed; its end is not asked for until then.
class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill() const { ::kill(pid_, SIGKILL); }
  void end() {
    if (pid_ == 0) return;
    kill();
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  pid_t pid_;
};

TEST(ProcessIdentity, IsAProcessAndThoseItWasStartedBy) {
  const Child child;
  const auto creator = fs::creator_of(child.pid(), kHere);
  ASSERT_TRUE(creator);
  EXPECT_EQ(creator->machine, kHere);
  ASSERT_GE(creator->processes.size(), 2U);
  ASSERT_LE(creator->processes.size(), Creator::kMost);
  EXPECT_EQ(creator->processes[0].pid, child.pid());
  EXPECT_EQ(creator->processes[1].pid, ::getpid());
  EXPECT_EQ(creator->processes[1].name, "unit_fs");
  EXPECT_LE(creator->processes[1].start, creator->processes[0].start);
  for (const Process& process : creator->processes) EXPECT_NE(process.pid, 1);
}

TEST(ProcessIdentity, OfAThreadIsItsProcess) {
  pid_t thread = 0;
  std::optional<Creator> creator;
  std::jthread([&] {
    thread = ::gettid();
    creator = fs::creator_of(thread, kHere);
  }).join();
  ASSERT_TRUE(creator);
  EXPECT_NE(thread, ::getpid());
  EXPECT_EQ(creator->processes[0].pid, ::getpid());
}

TEST(ProcessIdentity, KnowsWhatHasEnded) {
  Child child;
  const Process process = fs::creator_of(child.pid(), kHere)->processes[0];
  EXPECT_FALSE(fs::is_gone(process));
  Process other = process;
  other.start += 1;
  EXPECT_TRUE(fs::is_gone(other)) << "its number came back";
  child.kill();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(fs::is_gone(process)) << "nobody has asked for its end yet";
  child.end();
  EXPECT_TRUE(fs::is_gone(process));
  EXPECT_FALSE(fs::creator_of(process.pid, kHere));
}

TEST(ProcessIdentity, TheMachineIsKnown) {
  const fs::Machine here = fs::this_machine(fs::this_boot());
  EXPECT_NE(here.pid_namespace, 0U);
  EXPECT_EQ(here, fs::this_machine(fs::this_boot()));
  const fs::Namespaces own = fs::own_namespaces();
  EXPECT_EQ(fs::differences(own, own), "");
  fs::Namespaces other = own;
  ++other.time;
  EXPECT_EQ(fs::differences(other, own), "time");
  EXPECT_EQ(fs::differences({}, own), "processes, time, mounts");
  EXPECT_EQ(fs::differences({}, {}), "processes, mounts") << "nothing is known";
}

TEST(ProcessIdentity, WhoLivesIsNotDying) {
  EXPECT_EQ(fs::dying_of(::getpid()), 0);
  EXPECT_EQ(fs::dying_of(0), 0);
  EXPECT_FALSE(fs::is_ending(::getpid()));
  EXPECT_FALSE(fs::is_ending(0));
}

TEST(ProcessIdentity, WhatWasKilledIsDyingOfIt) {
  const Child child;
  child.kill();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(fs::dying_of(child.pid()), SIGKILL);
  EXPECT_TRUE(fs::is_ending(child.pid()));
}

TEST(ProcessIdentity, IsALineOfText) {
  const Creator creator{.machine = kHere,
                        .processes = {{.pid = 12, .start = 3456789012345, .name = "a \"b)"},
                                      {.pid = 2, .start = 1, .name = ""}},
                        .runtime = "Ray"};
  EXPECT_EQ(fs::parse_creator(fs::to_text(creator)), creator);
  EXPECT_EQ(fs::to_text(creator).find('\n'), std::string::npos);
  for (const char* text : {"", "{}", "[]", "{\"boot\":1}", "nonsense",
                           R"({"boot":"b","pid_namespace":7,"processes":[{"pid":"x"}]})"}) {
    EXPECT_FALSE(fs::parse_creator(text)) << text;
  }
  Creator odd = creator;
  odd.processes[0].name = "\xff\xfe";
  EXPECT_TRUE(fs::parse_creator(fs::to_text(odd)));
}

}  // namespace
}  // namespace spillfs::tests
