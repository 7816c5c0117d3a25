// SPDX-License-Identifier: Apache-2.0
// The attack on directories of the first format, as a user can make it: XXH3 of a name of 4 to 8
// bytes is a chain of steps that can all be undone, and a cookie shows 55 bits of its end.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/checksum.h"

namespace spillfs::index {

constexpr std::uint64_t kXxhPrime = 0x9fb21c651e98df25;
// XXH3_kSecret at 8 and at 16.
constexpr std::uint64_t kXxhSecret = 0x1cad21f72c81017c ^ 0xdb979083e96dd4de;
constexpr unsigned kShownBits = 55;

// The last five steps of the hash of `length` bytes, undone.
inline std::uint64_t undo_mixing(std::uint64_t hash, std::uint64_t length) {
  std::uint64_t inverse = kXxhPrime;  // Newton's iteration for the prime's inverse modulo 2^64
  for (int i = 0; i < 6; ++i) inverse *= 2 - kXxhPrime * inverse;
  hash ^= hash >> 28;
  hash ^= hash >> 56;
  hash *= inverse;
  const std::uint64_t high = hash ^ ((hash >> 35) + length);
  hash = high;
  hash *= inverse;
  // x ^ rotl(x, 49) ^ rotl(x, 24) is linear; 64 is a power of two, so raising it to 64 is nothing.
  const auto mix = [](std::uint64_t x) { return x ^ std::rotl(x, 49) ^ std::rotl(x, 24); };
  for (int i = 0; i < 63; ++i) hash = mix(hash);
  return hash;
}

// A name of 4 to 8 bytes, as the hash takes it in.
inline std::uint64_t taken_in(std::string_view name) {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::memcpy(&first, name.data(), sizeof(first));
  std::memcpy(&last, name.data() + name.size() - sizeof(last), sizeof(last));
  return last + (std::uint64_t{first} << 32);
}

inline std::uint64_t flip_of(std::uint64_t seed) {
  const std::uint64_t low = __builtin_bswap32(static_cast<std::uint32_t>(seed));
  return kXxhSecret - (seed ^ low << 32);
}

inline std::uint64_t seed_of_flip(std::uint64_t flip) {
  const std::uint64_t seed = kXxhSecret - flip;
  const std::uint64_t low = __builtin_bswap32(static_cast<std::uint32_t>(seed));
  return seed ^ low << 32;
}

// The only seed with which these names have these cookies; none when there is no such seed.
inline std::optional<std::uint64_t> seed_of(
    const std::vector<std::pair<std::string, std::uint64_t>>& seen) {
  std::optional<std::set<std::uint64_t>> flips;
  for (const auto& [name, cookie] : seen) {
    std::set<std::uint64_t> possible;
    for (std::uint64_t hidden = 0; hidden < 512; ++hidden) {
      const std::uint64_t flip =
          undo_mixing(cookie >> 8 | hidden << kShownBits, name.size()) ^ taken_in(name);
      if (!flips || flips->contains(flip)) possible.insert(flip);
    }
    flips = std::move(possible);
  }
  if (!flips || flips->size() != 1) return std::nullopt;
  return seed_of_flip(*flips->begin());
}

// Up to `count` other names of 8 bytes with the cookie of `name`.
inline std::vector<std::string> names_like(std::string_view name, std::uint64_t seed,
                                           std::size_t count) {
  constexpr std::uint64_t kShown = (std::uint64_t{1} << kShownBits) - 1;
  std::vector<std::string> found;
  const std::uint64_t hash = xxh3_with_seed(as_bytes(name), seed) & kShown;
  for (std::uint64_t hidden = 0; hidden < 512 && found.size() < count; ++hidden) {
    const std::uint64_t in = undo_mixing(hash | hidden << kShownBits, 8) ^ flip_of(seed);
    const auto last = static_cast<std::uint32_t>(in);
    const auto first = static_cast<std::uint32_t>(in >> 32);
    std::string other(8, '\0');
    std::memcpy(other.data(), &first, sizeof(first));
    std::memcpy(other.data() + 4, &last, sizeof(last));
    if (other != name && other.find('\0') == std::string::npos &&
        other.find('/') == std::string::npos) {
      found.push_back(other);
    }
  }
  return found;
}

}  // namespace spillfs::index
