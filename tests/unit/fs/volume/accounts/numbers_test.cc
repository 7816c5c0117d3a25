// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/numbers.h"

#include <gtest/gtest.h>

#include <set>

#include "index/memory_index.h"
#include "tests/support/power_loss.h"

namespace spillfs::fs {
namespace {

using index::Counter;

TEST(Numbers, AreHandedOutOnce) {
  index::MemoryIndex index;
  std::set<std::uint64_t> seen;
  for (int process = 0; process < 3; ++process) {
    Numbers numbers(index);
    for (int i = 0; i < 200; ++i)
      EXPECT_TRUE(seen.insert(numbers.next(Counter::kInode).value()).second);
  }
}

TEST(Numbers, NoLossOfPowerBringsAnInodesNumberBack) {
  tests::Random random(1);
  auto index = std::make_shared<tests::PowerIndex>();
  std::set<std::uint64_t> seen;
  for (int loss = 0; loss < 20; ++loss) {
    Numbers numbers(*index);
    for (int i = 0; i < 200; ++i) {
      EXPECT_TRUE(seen.insert(numbers.next(Counter::kInode).value()).second) << loss;
      static_cast<void>(index->commit({.totals = {.inodes = 1}}));
    }
    index = index->lose_power(random);
  }
}

class NeverSynced final : public tests::SharedIndex {
 public:
  NeverSynced() : SharedIndex(std::make_shared<index::MemoryIndex>()) {}
  Result<> sync() override { return fail(EIO, "the disk is broken"); }
};

TEST(Numbers, ABlockThatIsNotOnDiskIsNotUsed) {
  NeverSynced index;
  Numbers numbers(index);
  EXPECT_EQ(numbers.next(Counter::kInode).error().code, EIO);
  EXPECT_EQ(numbers.next(Counter::kInode).error().code, EIO);
  EXPECT_EQ(numbers.next(Counter::kSequence).value(), 1);
}

}  // namespace
}  // namespace spillfs::fs
