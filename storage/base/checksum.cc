// SPDX-License-Identifier: Apache-2.0
#include "storage/base/checksum.h"

#include <xxhash.h>

#include <algorithm>
#include <array>

namespace spillfs {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  constexpr std::uint32_t kReversedPolynomial = 0x82F63B78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kReversedPolynomial : 0);
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

}  // namespace

// Headers are at most a few KiB, so a table is fast enough.
std::uint32_t crc32c(Bytes bytes) {
  std::uint32_t crc = ~0U;
  for (std::byte b : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<std::uint32_t>(b)) & 0xFF];
  return ~crc;
}

std::uint64_t xxh3(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t xxh3_with_seed(Bytes bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::vector<std::uint64_t> chunk_sums(Bytes bytes) {
  std::vector<std::uint64_t> sums;
  for (std::size_t at = 0; at < bytes.size(); at += kChunk) {
    sums.push_back(xxh3(bytes.subspan(at, std::min<std::size_t>(kChunk, bytes.size() - at))));
  }
  return sums;
}

}  // namespace spillfs
