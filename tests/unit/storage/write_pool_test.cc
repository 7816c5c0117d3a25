// SPDX-License-Identifier: Apache-2.0
#include "storage/write_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace spillfs::storage {
namespace {

TEST(WritePool, WithoutThreadsTheCallerRunsTheJob) {
  WritePool pool(0);
  std::thread::id ran;
  bool was_busy = false;
  pool.submit([&] {
    ran = std::this_thread::get_id();
    was_busy = pool.busy();
  });
  EXPECT_EQ(ran, std::this_thread::get_id());
  EXPECT_TRUE(was_busy);
  EXPECT_FALSE(pool.busy());
}

TEST(WritePool, ItsThreadsWorkAtTheSameTime) {
  WritePool pool(3);
  std::latch together(3);
  std::latch done(3);
  for (int i = 0; i < 3; ++i) {
    pool.submit([&] {
      together.arrive_and_wait();  // for ever, were they fewer
      done.count_down();
    });
  }
  done.wait();
}

TEST(WritePool, ASingleThreadKeepsTheOrder) {
  std::vector<int> ran;
  {
    WritePool pool(1);
    for (int i = 0; i < 100; ++i) {
      pool.submit([&ran, i] { ran.push_back(i); });
    }
  }
  ASSERT_EQ(ran.size(), 100U) << "its end runs what is queued";
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST(WritePool, TellsAfterEachJob) {
  for (unsigned threads : {0U, 2U}) {
    std::atomic<int> jobs{0};
    std::atomic<int> calls{0};
    {
      WritePool pool(threads);
      pool.on_done([&] { ++calls; });
      for (int i = 0; i < 50; ++i) pool.submit([&] { ++jobs; });
    }
    EXPECT_EQ(jobs, 50);
    EXPECT_EQ(calls, 50);
  }
}

// Whoever finds it busy and then waits is called: the call comes when it is no longer busy.
TEST(WritePool, IsDoneBeforeItTells) {
  WritePool pool(1);
  std::atomic<bool> was_busy{true};
  std::latch told(1);
  pool.on_done([&] {
    was_busy = pool.busy();
    told.count_down();
  });
  std::latch go(1);
  pool.submit([&] { go.wait(); });
  EXPECT_TRUE(pool.busy());
  go.count_down();
  told.wait();
  EXPECT_FALSE(was_busy);
}

TEST(WritePool, AnOldCallIsOverOnceThereIsANewOne) {
  WritePool pool(1);
  std::latch inside(1);
  std::atomic<bool> over{false};
  pool.on_done([&] {
    inside.count_down();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    over = true;
  });
  pool.submit([] {});
  inside.wait();
  pool.on_done({});
  EXPECT_TRUE(over);
  pool.submit([] {});
}

}  // namespace
}  // namespace spillfs::storage
