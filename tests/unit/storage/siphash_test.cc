// SPDX-License-Identifier: Apache-2.0
#include "storage/base/siphash.h"

#include <gtest/gtest.h>

#include <vector>

namespace spillfs {
namespace {

SipKey key_of_the_paper() {
  SipKey key{};
  for (std::size_t i = 0; i < key.size(); ++i) key.at(i) = static_cast<std::byte>(i);
  return key;
}

std::vector<std::byte> message(std::size_t length) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < length; ++i) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

// The example of the paper's appendix A, and vectors_sip64 of the authors' reference code.
TEST(SipHash, HasThePublishedValues) {
  const std::vector<std::pair<std::size_t, std::uint64_t>> published{
      {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
      {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572}};
  for (const auto& [length, hash] : published) {
    EXPECT_EQ(SipHash(key_of_the_paper()).add(message(length)).finish(), hash) << length;
  }
}

TEST(SipHash, PiecesMakeNoDifference) {
  const auto bytes = message(63);
  for (std::size_t first = 0; first <= bytes.size(); ++first) {
    SipHash hash(key_of_the_paper());
    hash.add(Bytes(bytes).first(first)).add({}).add(Bytes(bytes).subspan(first));
    EXPECT_EQ(hash.finish(), 0x958a324ceb064572) << first;
  }
}

TEST(SipHash, KeysDiffer) {
  EXPECT_NE(random_sip_key().value(), random_sip_key().value());
  EXPECT_NE(SipHash(SipKey{}).finish(), SipHash(key_of_the_paper()).finish());
}

}  // namespace
}  // namespace spillfs
