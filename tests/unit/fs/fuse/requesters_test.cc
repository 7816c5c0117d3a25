// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/requesters.h"

#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "fs/system/thread_user.h"
#include "fs/volume/names/mapped_owners.h"

namespace spillfs::fs {
namespace {

constexpr pid_t kNoThread = 0x7fff'fff0;

// A thread that uses files as `user`, for as long as this lives; only root can have one of another.
class ThreadOf {
 public:
  explicit ThreadOf(uid_t user)
      : thread_([this, user] {
          ::setfsuid(user);
          id_.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
          end_.get_future().wait();
        }) {}
  ~ThreadOf() { end_.set_value(); }
  ThreadOf(const ThreadOf&) = delete;
  ThreadOf& operator=(const ThreadOf&) = delete;

  pid_t id() { return known_.get(); }

 private:
  std::promise<pid_t> id_;
  std::promise<void> end_;
  std::shared_future<pid_t> known_ = id_.get_future().share();
  std::jthread thread_;
};

TEST(ThreadUser, IsWhoUsesFiles) {
  const uid_t user = ::geteuid() == 0 ? 4001 : ::geteuid();
  ThreadOf thread(user);
  EXPECT_EQ(user_of_thread(thread.id()), user);
  EXPECT_EQ(user_by_proc(thread.id()), user);
  EXPECT_EQ(user_of_thread(::getpid()), ::geteuid());
}

TEST(ThreadUser, OfNoThreadIsNotKnown) {
  for (const pid_t thread : {0, -1, kNoThread}) {
    EXPECT_EQ(user_of_thread(thread), std::nullopt);
  }
  EXPECT_EQ(user_by_proc(kNoThread), std::nullopt);
}

TEST(Requesters, AreToldWhereNothingIsMapped) {
  const Requesters requesters(RequestIds::kOfWhoAsks);
  EXPECT_EQ(requesters.user(77, kNoThread), 77);
  EXPECT_EQ(requesters.user_lately(77, kNoThread), 77);
  EXPECT_EQ(requesters.user_lately(77, 0), kUnknownUser) << "the kernel asks by itself";
}

TEST(Requesters, SayWhoTheyAreWhereIdsAreMapped) {
  const Requesters requesters(RequestIds::kOfWhatIsMade);
  const uid_t user = ::geteuid() == 0 ? 4001 : ::geteuid();
  ThreadOf thread(user);
  for (const uid_t told : {uid_t{0}, ~uid_t{0}, uid_t{77}}) {
    EXPECT_EQ(requesters.user(told, thread.id()), user);
    EXPECT_EQ(requesters.user_lately(told, thread.id()), user);
    EXPECT_EQ(requesters.user(told, kNoThread), kUnknownUser);
    EXPECT_EQ(requesters.user_lately(told, 0), kUnknownUser);
  }
}

TEST(MappedOwners, AreThoseThatWereSeen) {
  MappedOwners owners;
  owners.note(101000, 1000);
  EXPECT_TRUE(owners.makes_files_of(101000, 1000));
  EXPECT_FALSE(owners.makes_files_of(1000, 101000));
  EXPECT_FALSE(owners.makes_files_of(101001, 1000));
  EXPECT_FALSE(owners.makes_files_of(1000, 1000));
}

TEST(MappedOwners, DoNotGrowWithoutEnd) {
  MappedOwners owners;
  for (uid_t user = 0; user < MappedOwners::kMost + 10; ++user) owners.note(user, 1);
  EXPECT_FALSE(owners.makes_files_of(0, 1));
  EXPECT_TRUE(owners.makes_files_of(MappedOwners::kMost + 9, 1));
}

}  // namespace
}  // namespace spillfs::fs
