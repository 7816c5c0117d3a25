// SPDX-License-Identifier: Apache-2.0
// A Volume whose N-th I/O fails, for every N: the operation under way tells it, afterwards every
// file has its old bytes or its new ones, everything acknowledged before stays, and the Volume goes
// on, or starts again, without a leak.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <tuple>

#include "tests/support/volume_workload.h"

namespace spillfs::tests {
namespace {

using storage::FaultKind;

std::vector<Step> workload() {
  std::vector<Step> steps{
      write_step("small", bytes('a', 5000)),
      write_step("synced", bytes('b', 20000), {.sync = true}),
      write_step("big", bytes('c', 150000)),
      write_step("small", bytes('d', 3000), {.offset = 1000, .flags = O_RDWR}),
      write_step("big", bytes('e', 30000), {.offset = 50000, .flags = O_RDWR, .sync = true}),
      write_step("big", bytes('f', 20000), {.offset = 150000, .flags = O_WRONLY | O_APPEND}),
      write_step("big", bytes('g', 500), {.offset = 260000, .flags = O_WRONLY}),
      punch_step("big", 8192, 40960),
      write_step("in place", bytes('i', 120000), {.flags = O_RDWR | O_CREAT, .flush = true}),
      write_step("in order", bytes('o', 130000), {.flush = true}),
      resize_step("big", 70000),
      resize_step("synced", 100),
      resize_step("big", 90000),
      resize_step("synced", 0),
      write_step("small", bytes('h', 9000), {.flags = O_WRONLY | O_CREAT | O_TRUNC}),
      rename_step("small", "other", 0),
      rename_step("other", "big", RENAME_EXCHANGE),
      rename_step("synced", "other", 0),
      mkdir_step("folder"),
      link_step("big", "linked"),
      xattr_step("big"),
  };
  for (int i = 0; i < 14; ++i) {
    steps.push_back(write_step(fmt::format("f{}", i), bytes(static_cast<char>('a' + i), 30000)));
  }
  for (int i = 0; i < 11; ++i) steps.push_back(unlink_step(fmt::format("f{}", i)));
  steps.push_back(reclaim_step());
  steps.push_back(write_step("recycled", bytes('r', 100000)));
  steps.push_back(unlink_step("recycled"));
  steps.push_back(reclaim_step());
  steps.push_back(write_step("again", bytes('s', 90000)));
  steps.push_back(write_step("again", bytes('t', 10), {.offset = 5, .flags = O_RDWR}));
  steps.push_back(unlink_step("linked"));
  steps.push_back(reclaim_step());
  return steps;
}
enum class End : std::uint8_t { kGoesOn, kKilled };

struct Case {
  const char* name;
  int code;
  FaultKind kind;
  End end;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// The errors are wanted; their log lines are not.
class QuietTest : public testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void TearDown() override { spdlog::set_level(spdlog::level::info); }
};

class RecoveryFault : public QuietTest {};
class VolumeFault : public QuietTest, public testing::WithParamInterface<std::tuple<Case, Mode>> {};
TEST_P(VolumeFault, EveryIoOfAWorkload) {
  const auto& [fault, mode] = GetParam();
  const std::vector<Step> steps = workload();
  std::uint64_t n = 1;
  for (bool fired = true; fired && !HasFailure(); ++n) {
    FaultyStore store(mode);
    auto volume = store.open().value();
    store.plan->fail_at(n, {.code = fault.code, .kind = fault.kind});
    Outcome outcome = run(store.side(*volume), steps);
    fired = store.plan->fired();
    EXPECT_TRUE(fired || store.uses(*volume) == mode) << name_of(mode);
    const std::string what =
        fmt::format("I/O {} fails{}{}", n, outcome.failed.empty() ? "" : " in ", outcome.failed);
    if (fault.end == End::kGoesOn) {
      store.plan->clear();
      goes_on(store, volume, outcome, what);
    } else {
      store.kill(std::move(volume));
      volume = store.open().value();
    }
    if (HasFailure()) break;
    expect_allowed(read_all(*volume), outcome, what + ", after a restart");
    ASSERT_TRUE(volume->reclaim_now());
    volume.reset();
    EXPECT_EQ(store.problems(), "") << what;
  }
  EXPECT_GT(n, 300U) << "the workload does too little";
  RecordProperty("operations", std::to_string(n));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, VolumeFault,
    testing::Combine(testing::Values(Case{"once", EIO, FaultKind::kOnce, End::kGoesOn},
                                     Case{"no_space", ENOSPC, FaultKind::kOnce, End::kGoesOn},
                                     Case{"half_write", EIO, FaultKind::kHalfWrite, End::kGoesOn},
                                     Case{"once_then_killed", EIO, FaultKind::kOnce, End::kKilled},
                                     Case{"half_write_then_killed", EIO, FaultKind::kHalfWrite,
                                          End::kKilled},
                                     Case{"disk_gone", EIO, FaultKind::kForGood, End::kKilled}),
                     testing::Values(Mode::kCached, Mode::kDirect, Mode::kPassthrough)),
    [](const auto& c) {
      return fmt::format("{}_{}", std::get<0>(c.param).name, name_of(std::get<1>(c.param)));
    });

// A store with work left: a file never sealed, one without names still open, segments half done.
TEST_F(RecoveryFault, EveryIoOfARecovery) {
  bool fired = true;
  for (std::uint64_t n = 1; fired && !testing::Test::HasFailure(); ++n) {
    FaultyStore store;
    auto volume = store.open().value();
    Outcome outcome = run(store.side(*volume), workload());
    ASSERT_EQ(outcome.failed, "");
    const auto unsealed =
        volume->create(kRootInode, "unsealed", 0644, O_WRONLY | O_CREAT, {}).value();
    ASSERT_TRUE(volume->write(unsealed.handle, as_bytes(bytes('u', 20000)), 0));
    const auto streaming =
        volume->create(kRootInode, "streaming", 0644, O_WRONLY | O_CREAT, {}).value();
    ASSERT_TRUE(volume->write(streaming.handle, as_bytes(bytes('u', 60000)), 0));
    ASSERT_NO_FATAL_FAILURE(leave_open_orphan(*volume, "again", outcome));
    store.kill(std::move(volume));

    store.plan->fail_at(n, {});
    auto opened = store.open();
    fired = store.plan->fired();
    if (opened) {
      store.plan->clear();
      expect_allowed(read_all(**opened), outcome, fmt::format("I/O {} of the first start", n));
      store.kill(std::move(*opened));
    }
    store.plan->clear();
    volume = store.open().value();
    expect_allowed(read_all(*volume), outcome, fmt::format("after I/O {} of a start failed", n));
    ASSERT_TRUE(volume->reclaim_now());
    volume.reset();
    EXPECT_EQ(store.problems(), "") << n;
  }
}

}  // namespace
}  // namespace spillfs::tests
