// SPDX-License-Identifier: Apache-2.0
#include "storage/base/siphash.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>

namespace spillfs {
namespace {

constexpr int kRoundsAWord = 2;
constexpr int kLastRounds = 4;

}  // namespace

Result<SipKey> random_sip_key() {
  SipKey key{};
  if (::getentropy(key.data(), key.size()) != 0) return fail_errno(errno, "get random numbers");
  return key;
}

SipHash::SipHash(const SipKey& key) {
  const auto k0 = load<std::uint64_t>(Bytes(key).first(8));
  const auto k1 = load<std::uint64_t>(Bytes(key).last(8));
  state_ = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
            k1 ^ 0x7465646279746573};
}

void SipHash::round() {
  auto& [a, b, c, d] = state_;
  a += b;
  b = std::rotl(b, 13) ^ a;
  a = std::rotl(a, 32);
  c += d;
  d = std::rotl(d, 16) ^ c;
  a += d;
  d = std::rotl(d, 21) ^ a;
  c += b;
  b = std::rotl(b, 17) ^ c;
  c = std::rotl(c, 32);
}

void SipHash::compress(std::uint64_t word) {
  state_[3] ^= word;
  for (int i = 0; i < kRoundsAWord; ++i) round();
  state_[0] ^= word;
}

SipHash& SipHash::add(Bytes bytes) {
  while (!bytes.empty()) {
    const std::size_t at = length_ % word_.size();
    const std::size_t taken = std::min(bytes.size(), word_.size() - at);
    std::copy_n(bytes.begin(), taken, word_.begin() + static_cast<std::ptrdiff_t>(at));
    length_ += taken;
    bytes = bytes.subspan(taken);
    if (length_ % word_.size() == 0) compress(load<std::uint64_t>(word_));
  }
  return *this;
}

// The last word holds the bytes that are left, zeros, and the length's lowest byte.
std::uint64_t SipHash::finish() {
  std::fill(word_.begin() + static_cast<std::ptrdiff_t>(length_ % word_.size()), word_.end(),
            std::byte{0});
  word_.back() = static_cast<std::byte>(length_);
  compress(load<std::uint64_t>(word_));
  state_[2] ^= 0xff;
  for (int i = 0; i < kLastRounds; ++i) round();
  return state_[0] ^ state_[1] ^ state_[2] ^ state_[3];
}

}  // namespace spillfs
