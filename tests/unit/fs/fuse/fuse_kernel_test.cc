// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse/fuse_kernel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/fuse/fuse_opcodes.h"
#include "fs/fuse/fuse_protocol.h"
#include "fs/fuse/fuse_setxattr.h"
#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

template <class Body>
std::vector<std::byte> request(std::uint32_t opcode, const Body& body, std::string_view text = {}) {
  protocol::InHeader header{};
  header.opcode = opcode;
  header.unique = 77;
  header.nodeid = 5;
  header.len = static_cast<std::uint32_t>(sizeof(header) + sizeof(body) + text.size());
  std::vector<std::byte> bytes;
  for (Bytes part : {bytes_of(header), bytes_of(body), as_bytes(text)}) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

std::vector<std::byte> init_of(std::uint32_t flags, std::uint32_t flags2 = 0,
                               std::uint32_t minor = 45) {
  protocol::InitIn init{};
  init.major = protocol::kMajor;
  init.minor = minor;
  init.flags = flags;
  init.flags2 = flags2;
  return request(protocol::kInit, init);
}

// What answer_init() returns to a kernel that offers `flags`, and the flags that it answers.
std::pair<std::vector<std::byte>, std::uint32_t> answered(std::uint32_t flags, FeatureSet without) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Fd ours(ends[0]);
  const Fd kernels(ends[1]);
  const auto init = init_of(flags);
  EXPECT_EQ(::write(kernels.get(), init.data(), init.size()), static_cast<ssize_t>(init.size()));
  auto agreed = answer_init(ours.get(), without);
  struct {
    protocol::OutHeader header;
    protocol::InitOut body;
  } reply{};
  EXPECT_EQ(::read(kernels.get(), &reply, sizeof(reply)), static_cast<ssize_t>(sizeof(reply)));
  return {agreed.value(), reply.body.flags};
}

constexpr std::uint32_t kAcls =
    protocol::kInitPosixAcl | protocol::kInitDontMask | protocol::kInitLongSetxattr;

TEST(FuseKernel, AclsAreOneFeature) {
  const auto [init, told] = answered(kAcls | protocol::kInitMaxPages, {});
  EXPECT_EQ(told & kAcls, kAcls);
  const auto features = features_of(init, {});
  EXPECT_TRUE(features.on.has(Feature::kAcl));
  EXPECT_TRUE(features.long_setxattr);
}

TEST(FuseKernel, WithoutAclsNothingOfThemIsAgreed) {
  const auto [init, told] = answered(kAcls, *parse_features("acl"));
  EXPECT_EQ(told & kAcls, 0U);
  const auto [older, told_older] =
      answered(protocol::kInitDontMask | protocol::kInitLongSetxattr, {});
  EXPECT_EQ(told_older & kAcls, 0U);
  EXPECT_FALSE(features_of(older, {}).long_setxattr);
}

TEST(FuseKernel, WhatWasNotAgreedStaysOff) {
  const auto [init, told] = answered(kAcls | protocol::kInitMaxPages, *parse_features("acl"));
  const auto later = features_of(init, {});  // a worker that would have it on
  EXPECT_FALSE(later.on.has(Feature::kAcl));
  EXPECT_FALSE(later.long_setxattr);
  EXPECT_TRUE(later.on.has(Feature::kLargeRequests));
}

TEST(FuseKernel, AnEarlierProgramAgreedToNoMoreThanItKnew) {
  auto init = init_of(kAcls | protocol::kInitMaxPages);
  EXPECT_TRUE(features_of(init, {}).on.has(Feature::kAcl)) << "as the kernel sent it";
  leave_what_version_1_agreed(init);
  EXPECT_FALSE(features_of(init, {}).on.has(Feature::kAcl));
  EXPECT_TRUE(features_of(init, {}).on.has(Feature::kLargeRequests));
  std::vector<std::byte> none;
  leave_what_version_1_agreed(none);
  EXPECT_TRUE(none.empty());
}

// The kernel goes on leaving ids out, though a reload has the feature no more.
TEST(FuseKernel, IdsStayMappedOnceThatIsAgreed) {
  constexpr std::uint32_t kAllowIdmap = protocol::kInitAllowIdmap >> 32;  // in flags2
  const auto without = *parse_features("idmapped_mounts");
  const auto mapped = features_of(init_of(protocol::kInitExt, kAllowIdmap), without);
  EXPECT_FALSE(mapped.on.has(Feature::kIdmappedMounts));
  EXPECT_TRUE(mapped.maps_ids);
  EXPECT_FALSE(features_of(init_of(protocol::kInitExt), {}).maps_ids);
  auto earlier = init_of(protocol::kInitExt, kAllowIdmap);
  leave_what_version_1_agreed(earlier);
  EXPECT_FALSE(features_of(earlier, {}).maps_ids);
}

TEST(FuseKernel, BirthTimesCameWithAVersion) {
  EXPECT_FALSE(features_of(init_of(0, 0, 38), {}).on.has(Feature::kBirthTime));
  EXPECT_TRUE(features_of(init_of(0, 0, 39), {}).on.has(Feature::kBirthTime));
  EXPECT_FALSE(features_of(init_of(0), *parse_features("birth_time")).on.has(Feature::kBirthTime));
}

protocol::SetxattrIn setxattr_in(std::uint32_t flags) {
  return {.size = 5, .flags = 1, .setxattr_flags = flags, .padding = 0};
}
constexpr std::string_view kNameAndValue{"user.x\0value", 12};

TEST(FuseSetxattr, TheFlagsAreTakenOut) {
  for (std::uint32_t flags : {0U, protocol::kSetxattrKillsSetGid}) {
    auto raw = request(protocol::kSetxattr, setxattr_in(flags), kNameAndValue);
    MutableBytes shorter = raw;
    const SetGid set_gid = take_setxattr_flags(shorter, {.long_setxattr = true});
    EXPECT_EQ(set_gid, flags == 0 ? SetGid::kStays : SetGid::kGoes);
    const auto header = load<protocol::InHeader>(shorter);
    EXPECT_EQ(header.len, shorter.size());
    EXPECT_EQ(header.unique, 77U);
    EXPECT_EQ(header.nodeid, 5U);
    const Bytes body = shorter.subspan(sizeof(header));
    EXPECT_EQ(load<std::uint32_t>(body), 5U);
    EXPECT_EQ(load<std::uint32_t>(body.subspan(4)), 1U);
    EXPECT_EQ(as_text(body.subspan(protocol::kShortSetxattr)), kNameAndValue);
  }
}

TEST(FuseSetxattr, OthersStayAsTheyAre) {
  const auto kept = [](std::vector<std::byte> raw, KernelFeatures features) {
    const auto before = raw;
    MutableBytes same = raw;
    EXPECT_EQ(take_setxattr_flags(same, features), SetGid::kStays);
    return same.data() == raw.data() && same.size() == before.size() && raw == before;
  };
  const auto in = setxattr_in(protocol::kSetxattrKillsSetGid);
  EXPECT_TRUE(kept(request(protocol::kSetxattr, in, kNameAndValue), {})) << "the kernel sends none";
  EXPECT_TRUE(kept(request(protocol::kGetxattr, in, kNameAndValue), {.long_setxattr = true}));
  EXPECT_TRUE(kept(request(protocol::kSetxattr, std::uint32_t{1}), {.long_setxattr = true}));
}

TEST(FuseKernel, ASetattrOfNothingTakesPrivileges) {
  FeatureSet on;
  protocol::SetattrIn nothing{};
  EXPECT_FALSE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
  on.add(Feature::kKillpriv);
  EXPECT_TRUE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
  nothing.valid = protocol::kSetattrHandle;
  EXPECT_TRUE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
  nothing.valid = protocol::kSetattrMode;
  EXPECT_FALSE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
  nothing.valid = protocol::kSetattrSize | protocol::kSetattrLockOwner;
  EXPECT_FALSE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
  nothing.valid |= protocol::kSetattrKillsPrivileges;
  EXPECT_TRUE(wants_privileges_killed(request(protocol::kSetattr, nothing), on));
}

}  // namespace
}  // namespace spillfs::fs
