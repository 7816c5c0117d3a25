// SPDX-License-Identifier: Apache-2.0
// crc32c guards headers, XXH3-64 guards payload, one sum per kChunk bytes so that a partial read
// verifies only the chunks it touches.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"

namespace spillfs {

inline constexpr std::uint64_t kChunk = kMiB;
// How many of them `bytes` have, and so sums; the last may be short.
constexpr std::uint64_t chunk_count(std::uint64_t bytes) { return (bytes + kChunk - 1) / kChunk; }

// Castagnoli polynomial, as in iSCSI (RFC 3720): crc32c("123456789") == 0xE3069283.
std::uint32_t crc32c(Bytes bytes);

std::uint64_t xxh3(Bytes bytes);
// No secret: whoever chooses bytes and sees hashes can compute the seed.
std::uint64_t xxh3_with_seed(Bytes bytes, std::uint64_t seed);

// One XXH3-64 per chunk of `bytes`; the last chunk may be short. Empty for no bytes.
std::vector<std::uint64_t> chunk_sums(Bytes bytes);

}  // namespace spillfs
