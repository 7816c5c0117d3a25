// SPDX-License-Identifier: Apache-2.0
// Sizes as people write them, and integers as disks hold them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "storage/base/result.h"

namespace spillfs {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kDiskBlock = 4 * kKiB;  // what disks give space by

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// "64MiB", "4k", "1.5G", "12B": binary multiples in any case. EINVAL with a sentence for "64MB"
// (1000s to some), for a part of a byte ("1.5", "0.0001k"), beyond 2^63 - 1, and for what is no
// size.
Result<std::uint64_t> parse_size(std::string_view text);

// The shortest exact form: 67108864 -> "64MiB", 1000 -> "1000".
std::string format_size(std::uint64_t bytes);

static_assert(std::endian::native == std::endian::little,
              "on-disk integers are copied as they are; a big-endian port swaps here");

template <class T>
T load(Bytes from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from.data(), sizeof(T));
  return value;
}

template <class T>
Bytes bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace spillfs
