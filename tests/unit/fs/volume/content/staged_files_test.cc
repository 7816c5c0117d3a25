// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/staged_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillfs::fs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr uid_t kAlice = 4001;
constexpr uid_t kBob = 4002;

TEST(StagedFiles, WhoHasMostMakesRoom) {
  StagedFiles staged;
  EXPECT_THAT(staged.largest(8), IsEmpty());
  staged.note(InodeId{1}, kBob, 1000);
  for (std::uint64_t i = 2; i < 20; ++i) staged.note(InodeId{i}, kAlice, 90 + i);
  EXPECT_THAT(staged.largest(2), ElementsAre(InodeId{19}, InodeId{18})) << "not the largest file";
  EXPECT_THAT(staged.users(), ElementsAre(Pair(kAlice, 1809), Pair(kBob, 1000)));
  for (std::uint64_t i = 2; i < 20; ++i) staged.note(InodeId{i}, kAlice, 0);
  EXPECT_THAT(staged.largest(8), ElementsAre(InodeId{1}));
}

TEST(StagedFiles, TheLatestNoteCounts) {
  StagedFiles staged;
  staged.note(InodeId{1}, kAlice, 10);
  staged.note(InodeId{2}, kAlice, 20);
  staged.note(InodeId{1}, kAlice, 30);
  staged.note(InodeId{1}, kAlice, 30);
  EXPECT_THAT(staged.largest(8), ElementsAre(InodeId{1}, InodeId{2}));
  staged.note(InodeId{1}, kBob, 30);
  EXPECT_THAT(staged.users(), ElementsAre(Pair(kAlice, 20), Pair(kBob, 30)));
  staged.note(InodeId{1}, kAlice, 0);
  staged.note(InodeId{3}, kAlice, 0);
  EXPECT_THAT(staged.users(), ElementsAre(Pair(kAlice, 20)));
}

}  // namespace
}  // namespace spillfs::fs
