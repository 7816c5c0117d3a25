// SPDX-License-Identifier: Apache-2.0
#include "fs/store/store_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/store/store_holder.h"

namespace spillfs::fs {
namespace {

using namespace std::chrono_literals;
namespace files = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr EndPatience kShort{.idle = 300ms, .detached = 300ms};
constexpr const char* kNoDevice = "0:0";  // of no mount

class StoreLock : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-lock-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = files::canonical(pattern).string();
  }
  void TearDown() override { files::remove_all(root_); }

  TrustedDirectory store() const {
    return TrustedDirectory::open(root_, Trust::of_process()).value();
  }
  static std::string refusal(const Result<Fd>& lock) {
    EXPECT_FALSE(lock);
    if (lock) return "";
    EXPECT_EQ(lock.error().code, EBUSY);
    return lock.error().context;
  }

  std::string root_;
};

TEST(StoreUse, IsReadAsItWasWritten) {
  const StoreUse use{.process = 12,
                     .worker = 13,
                     .pid_namespace = 14,
                     .mountpoint = "/mnt/\"a\nb",
                     .device = "0:51",
                     .doing = "ends",
                     .done = 15};
  const std::string line = format_store_use(use);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(parse_store_use(line), use);
  EXPECT_EQ(parse_store_use(line + "the end of a longer line"), use);
  for (const char* text : {"", "{}", "[]", "\n", "{\"process\":\"x\"}"}) {
    EXPECT_EQ(parse_store_use(text), std::nullopt) << text;
  }
}

TEST_F(StoreLock, WhatIsInUseIsRefusedAtOnce) {
  const Fd held = lock_store(store()).value();
  const auto begin = Clock::now();
  EXPECT_THAT(refusal(lock_store(store())),
              AllOf(HasSubstr("is in use by another spillfs"),
                    HasSubstr("process " + std::to_string(::getpid()))));
  EXPECT_LT(Clock::now() - begin, 10s);
  publish_use(held.get(), {.mountpoint = "/mnt/somewhere"});  // of another container
  EXPECT_THAT(refusal(lock_store(store())), HasSubstr("it is mounted on /mnt/somewhere; unmount"));
}

TEST_F(StoreLock, WhatEndsIsWaitedFor) {
  Fd held = lock_store(store()).value();
  publish_mount(held.get(), "/mnt/x", kNoDevice);
  publish_end(held.get(), "seals what is open", 0);
  // Longer than its patience, with progress that /proc does not show.
  std::jthread ends([&held] {
    for (std::uint64_t done = 1; done < 20; ++done) {
      std::this_thread::sleep_for(50ms);
      publish_end(held.get(), "seals what is open", done);
    }
    held.reset();
  });
  const auto lock = lock_store(store(), kShort);
  ASSERT_TRUE(lock) << describe(lock.error());
  // It says what it is from now on.
  EXPECT_EQ(published_use(lock->get()), own_use());
}

TEST_F(StoreLock, WhoIsWaitedForIsNamedWhenItStandsStill) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const Fd held = lock_store(store()).value();
  StoreUse use = own_use();
  use.mountpoint = "/mnt/x";
  use.worker = child;
  use.doing = "seals what is open";
  publish_use(held.get(), use);
  // What the machine writes meanwhile may look like progress; not for ever.
  const auto text = refusal(lock_store(store(), {.idle = 1ms, .detached = 1ms}));
  EXPECT_THAT(text, HasSubstr("process " + std::to_string(child) +
                              " of the mount that was on /mnt/x, which seals what is open"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_F(StoreLock, AMountThatIsGoneFromTheTreeEnds) {
  const Fd held = lock_store(store()).value();
  publish_mount(held.get(), "/mnt/x", kNoDevice);
  EXPECT_EQ(StoreHolder::look(held.get(), root_).state(), StoreHolder::State::kDetached);
  const auto begin = Clock::now();
  EXPECT_THAT(refusal(lock_store(store(), kShort)), HasSubstr("the mount that was on /mnt/x"));
  EXPECT_GE(Clock::now() - begin, kShort.detached);
}

// Its worker still holds the lock.
TEST_F(StoreLock, AHolderThatIsDeadEnds) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const Fd held = lock_store(store()).value();
  StoreUse use = own_use();
  use.process = child;
  publish_use(held.get(), use);
  EXPECT_EQ(StoreHolder::look(held.get(), root_).state(), StoreHolder::State::kEnds);
}

TEST_F(StoreLock, WhatADeadHolderLeftMeansNothing) {
  {
    const Fd held = lock_store(store()).value();
    publish_mount(held.get(), "/mnt/x", "0:1");
  }
  const auto lock = lock_store(store());
  ASSERT_TRUE(lock);
  EXPECT_EQ(published_use(lock->get()), own_use());
}

TEST_F(StoreLock, ReadersShareItAndChangeNothing) {
  EXPECT_FALSE(lock_store_for_reading(store()).value());
  EXPECT_FALSE(files::exists(root_ + "/lock"));
  const std::string left = "left";
  std::ofstream(root_ + "/lock") << left;
  files::permissions(root_ + "/lock", files::perms::owner_read);
  const auto one = lock_store_for_reading(store());
  const auto two = lock_store_for_reading(store());
  ASSERT_TRUE(one && *one && two && *two);
  std::string text;
  std::ifstream(root_ + "/lock") >> text;
  EXPECT_EQ(text, left);
  files::permissions(root_ + "/lock", files::perms::owner_read | files::perms::owner_write);
  EXPECT_THAT(refusal(lock_store(store())), HasSubstr("is in use"));
}

TEST_F(StoreLock, AnEndIsToldAsItGoesOn) {
  const Fd held = lock_store(store()).value();
  EndReport report(held.get());
  report.tell("seals");
  EXPECT_EQ(published_use(held.get())->doing, "seals");
  report.tell("syncs");
  EXPECT_EQ(published_use(held.get())->doing, "syncs");
  const auto before = published_use(held.get())->done;
  const auto until = Clock::now() + 10s;
  while (published_use(held.get())->done == before && Clock::now() < until) report.tell("syncs");
  EXPECT_GT(published_use(held.get())->done, before);
}

}  // namespace
}  // namespace spillfs::fs
