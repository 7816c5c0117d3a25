// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/names/posix_acl.h"

#include <gtest/gtest.h>

#include "storage/base/bytes.h"

namespace spillfs::fs {
namespace {

constexpr std::uint32_t kNoId = ~std::uint32_t{0};

struct Entry {
  std::uint16_t tag;
  std::uint16_t permissions;
  std::uint32_t id = kNoId;
};
constexpr std::uint16_t kUserObject = 1, kUser = 2, kGroupObject = 4, kGroup = 8, kMask = 16,
                        kOther = 32;

std::string value(const std::vector<Entry>& entries, std::uint32_t version = 2) {
  std::string bytes(as_text(bytes_of(version)));
  for (const Entry& entry : entries) bytes += as_text(bytes_of(entry));
  return bytes;
}

const std::vector<Entry> kNames{{kUserObject, 6},  {kUser, 4, 4001}, {kUser, 6, 4002},
                                {kGroupObject, 4}, {kGroup, 7, 50},  {kMask, 6},
                                {kOther, 0}};
const std::vector<Entry> kMode{{kUserObject, 6}, {kGroupObject, 4}, {kOther, 0}};

// `kNames` with the entry at `at` replaced, or, with none, removed.
std::string but(std::size_t at, std::vector<Entry> with) {
  auto entries = kNames;
  const auto place = entries.begin() + static_cast<std::ptrdiff_t>(at);
  entries.insert(entries.erase(place), with.begin(), with.end());
  return value(entries);
}

int refused(const std::string& bytes) {
  const auto acl = PosixAcl::parse(bytes);
  return acl ? 0 : acl.error().code;
}

TEST(PosixAcl, IsWhatItWasParsedFrom) {
  for (const auto& entries : {kNames, kMode}) {
    const auto acl = PosixAcl::parse(value(entries));
    ASSERT_TRUE(acl);
    EXPECT_EQ(acl->encode(), value(entries));
  }
  EXPECT_TRUE(PosixAcl::parse(value(kMode))->is_only_mode());
  EXPECT_FALSE(PosixAcl::parse(value(kNames))->is_only_mode());
}

TEST(PosixAcl, WhatItsFormatIsFollowsTheKernels) {
  const auto acl = PosixAcl::parse(value({{kUserObject, 6, 77}, {kGroupObject, 4}, {kOther, 0}}));
  ASSERT_TRUE(acl);
  EXPECT_EQ(acl->encode(), value(kMode)) << "an id where there is none to have";
  EXPECT_EQ(refused(but(2, {{kUser, 6, 4001}})), 0) << "the kernel takes a user twice";
}

TEST(PosixAcl, BadValuesAreRefused) {
  EXPECT_EQ(refused(""), EINVAL);
  EXPECT_EQ(refused("\x02"), EINVAL);
  EXPECT_EQ(refused(value({})), EINVAL);
  EXPECT_EQ(refused(value(kNames, 1)), EINVAL);
  EXPECT_EQ(refused(value(kNames, 3)), EINVAL);
  EXPECT_EQ(refused(value(kNames) + "x"), EINVAL);
  EXPECT_EQ(refused(value(kNames).substr(0, 30)), EINVAL);
  EXPECT_EQ(refused(but(1, {{kUser, 8, 4001}})), EINVAL) << "more than rwx";
  EXPECT_EQ(refused(but(1, {{kUser, 4, kNoId}})), EINVAL) << "a user without an id";
  EXPECT_EQ(refused(but(4, {{kGroup, 4, kNoId}})), EINVAL);
  EXPECT_EQ(refused(but(1, {{64, 4, 4001}})), EINVAL) << "an unknown tag";
  EXPECT_EQ(refused(but(1, {{kUser | kGroup, 4, 4001}})), EINVAL);
}

TEST(PosixAcl, EachEntryThatAModeHasIsThereOnceAndInItsPlace) {
  for (std::size_t at : {0, 3, 6}) {
    EXPECT_EQ(refused(but(at, {})), EINVAL) << at;
    EXPECT_EQ(refused(but(at, {kNames[at], kNames[at]})), EINVAL) << at;
  }
  EXPECT_EQ(refused(but(5, {})), EINVAL) << "who names users needs a mask";
  EXPECT_EQ(refused(but(5, {kNames[5], kNames[5]})), EINVAL);
  EXPECT_EQ(refused(but(0, {kNames[1], kNames[0]})), EINVAL);
  EXPECT_EQ(refused(but(6, {kNames[6], kNames[4]})), EINVAL);
}

TEST(PosixAcl, AModeShowsTheMaskAsTheGroups) {
  const auto names = PosixAcl::parse(value(kNames));
  EXPECT_EQ(names->permissions(), 0660U);
  EXPECT_EQ(names->permissions_without(), 0640U) << "the group's own entry is less than the mask";
  const auto mode = PosixAcl::parse(value(kMode));
  EXPECT_EQ(mode->permissions(), 0640U);
  EXPECT_EQ(mode->permissions_without(), 0640U);
}

TEST(PosixAcl, ChmodChangesTheMaskAndLeavesTheGroup) {
  auto names = PosixAcl::parse(value(kNames)).value();
  names.set_permissions(0104751);
  EXPECT_EQ(names.permissions(), 0751U);
  auto wanted = kNames;
  wanted[0].permissions = 7;
  wanted[5].permissions = 5;
  wanted[6].permissions = 1;
  EXPECT_EQ(names.encode(), value(wanted));
  auto mode = PosixAcl::parse(value(kMode)).value();
  mode.set_permissions(0751);
  EXPECT_EQ(mode.encode(), value({{kUserObject, 7}, {kGroupObject, 5}, {kOther, 1}}));
}

TEST(PosixAcl, ANewFileHasNoMoreThanItsMakerAskedFor) {
  auto acl =
      PosixAcl::parse(
          value({{kUserObject, 7}, {kUser, 7, 4001}, {kGroupObject, 7}, {kMask, 7}, {kOther, 4}}))
          .value();
  acl.keep_permissions(0100646);
  EXPECT_EQ(acl.permissions(), 0644U);
  EXPECT_EQ(
      acl.encode(),
      value({{kUserObject, 6}, {kUser, 7, 4001}, {kGroupObject, 7}, {kMask, 4}, {kOther, 4}}));
}

}  // namespace
}  // namespace spillfs::fs
