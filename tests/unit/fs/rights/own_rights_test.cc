// SPDX-License-Identifier: Apache-2.0
#include "fs/rights/own_rights.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "fs/daemon/death_witness.h"
#include "fs/rights/helper_process.h"
#include "fs/system/process_identity.h"
#include "fs/system/process_rights.h"
#include "tests/support/forked.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using fs::CapabilitySet;
using testing::ElementsAre;

constexpr uid_t kOther = 4001;
const fs::FeatureSet kLends = fs::parse_features("passthrough").value();

#define OR_SAY(what) \
  if (!(what)) return std::string(#what) + ": errno " + std::to_string(errno)

TEST(CapabilitySet, HasNames) {
  EXPECT_THAT((CapabilitySet{CAP_SYS_ADMIN, CAP_CHOWN}.names()),
              ElementsAre("CAP_CHOWN", "CAP_SYS_ADMIN"));
  EXPECT_THAT(CapabilitySet().names(), ElementsAre());
  EXPECT_EQ((CapabilitySet{CAP_KILL, CAP_CHOWN} - CapabilitySet{CAP_KILL}),
            CapabilitySet{CAP_CHOWN});
}

class OwnRights : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::held_capabilities().has(CAP_SYS_ADMIN)) GTEST_SKIP() << "needs root's capabilities";
  }
  const TemporaryFolder folder_;
};

TEST_F(OwnRights, OfASupervisor) {
  const auto run = []() -> std::string {
    for (int time = 0; time < 2; ++time) {
      fs::limit_supervisor();
      const auto rights = fs::rights_of(::getpid());
      OR_SAY(rights->capabilities == fs::kSupervisorCapabilities);
      OR_SAY((rights->bounds - fs::kSupervisorCapabilities).empty());
      OR_SAY(rights->no_new_privileges);
      OR_SAY(!rights->filtered);
    }
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, OfAWorker) {
  const auto run = [this]() -> std::string {
    fs::limit_supervisor();
    const auto needs = fs::worker_needs({}, kLends, folder_.path(), {folder_.path()});
    OR_SAY(fs::limit_worker({}, needs) == "on");
    const auto rights = fs::rights_of(::getpid());
    OR_SAY(rights->capabilities == fs::kPassthrough);
    OR_SAY(rights->no_new_privileges);
    OR_SAY(rights->filtered);
    OR_SAY(rights->oom_score_adj >= -500);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, OfAWorkerWithFilesOfAnotherUser) {
  ASSERT_EQ(::chown(folder_.path().c_str(), kOther, kOther), 0);
  const auto run = [this]() -> std::string {
    const auto needs = fs::worker_needs({}, kLends, folder_.path(), {});
    OR_SAY(fs::limit_worker({}, needs) == "on");
    OR_SAY(fs::held_capabilities() == (fs::kPassthrough | fs::kOthersFiles));
    OR_SAY(std::ofstream(folder_.path() + "/file").good());
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, OfAWorkerWithoutPassthrough) {
  const auto run = [this]() -> std::string {
    OR_SAY(fs::limit_worker({}, fs::worker_needs({}, {}, folder_.path(), {})) == "on");
    OR_SAY(fs::held_capabilities().empty());
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, WithoutASandbox) {
  const auto run = [this]() -> std::string {
    fs::MountOptions options;
    options.sandbox = false;
    const auto needs = fs::worker_needs(options, kLends, folder_.path(), {});
    OR_SAY(fs::limit_worker(options, needs) == "off: sandbox=no");
    OR_SAY(fs::held_capabilities() == fs::kPassthrough);
    OR_SAY(!fs::rights_of(::getpid())->filtered);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, AWorkerDoesNotReachItsSupervisorsMemory) {
  const std::string memory = "/proc/" + std::to_string(::getpid()) + "/mem";
  const auto run = [&]() -> std::string {
    OR_SAY(std::fstream(memory).good());
    const auto needs = fs::worker_needs({}, kLends, folder_.path(), {});
    OR_SAY(fs::limit_worker({}, needs) == "on");
    OR_SAY(!std::fstream(memory).good());
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, OfAHelper) {
  const auto run = [this]() -> std::string {
    const std::string path = folder_.path() + "/secret";
    std::ofstream(path) << "x";
    const int held = ::fcntl(::open(path.c_str(), O_RDONLY), F_DUPFD, 100);
    auto helper = fs::HelperProcess::start(fs::kReaperCapabilities, [held](int socket) {
      char asked = 0;
      while (::read(socket, &asked, 1) == 1) {
        const auto rights = fs::rights_of(::getpid());
        const bool right = rights->capabilities == fs::kReaperCapabilities &&
                           rights->no_new_privileges && ::fcntl(held, F_GETFD) == -1;
        const char said = right ? 'y' : 'n';
        if (::write(socket, &said, 1) != 1) return;
      }
    });
    OR_SAY(helper);
    char said = 0;
    OR_SAY(::write(helper->socket(), "?", 1) == 1);
    OR_SAY(::read(helper->socket(), &said, 1) == 1);
    OR_SAY(said == 'y');
    { const auto ended = *std::move(helper); }
    int status = -1;
    OR_SAY(::wait(&status) > 0);
    OR_SAY(status == 0);
    return {};
  };
  EXPECT_EQ(forked(run), "");
}

TEST_F(OwnRights, WhatAnotherUsersProcessDiesOfIsSeen) {
  const pid_t victim = ::fork();
  if (victim == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::setresuid(kOther, kOther, kOther) == 0) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(victim), &info, WEXITED | WNOWAIT), 0);
  const auto run = [&]() -> std::string {
    fs::DeathWitness witness;
    const auto needs = fs::worker_needs({}, kLends, folder_.path(), {});
    OR_SAY(fs::limit_worker({}, needs) == "on");
    OR_SAY(fs::dying_of(victim) == 0);  // that is why there is a witness
    OR_SAY(witness.dying_of(victim) == SIGKILL);
    OR_SAY(witness.dying_of(::getpid()) == 0);
    return {};
  };
  EXPECT_EQ(forked(run), "");
  ::waitpid(victim, nullptr, 0);
}

}  // namespace
}  // namespace spillfs::tests
