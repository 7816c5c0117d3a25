// SPDX-License-Identifier: Apache-2.0
// NameHash: where the rows of a directory's names are. A name's row lies in a bucket of 256
// cookies; where that one is full, in the bucket of the next turn, and so on.
//
// Users choose names and see cookies. In a keyed directory a bucket is SipHash-2-4 of directory,
// turn and name: users can't learn the key from cookies, so the only names with one hash that they
// can find are those that chance gives them. In the other directories, those of an index of the
// first format, the bucket of turn 0 is 55 bits of XXH3 with a seed that users can compute. Names
// made to collide there end up in later turns, which are keyed everywhere.
//
// Threads: every method may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "storage/base/ids.h"
#include "storage/base/siphash.h"

namespace spillfs::index {

// In place of the real hash, for tests: a weak one makes names collide.
using HashForTests = std::function<std::uint64_t(std::string_view name, unsigned turn)>;

// What `meta` holds about the hash of names.
struct NameKey {
  SipKey key{};
  InodeId first{1};  // directories from this number on are keyed
  friend bool operator==(const NameKey&, const NameKey&) = default;
};

class NameHash {
 public:
  // A full bucket takes 256 names with one hash of 55 bits. Chance makes some pairs of such names
  // among 2^30, and hardly ever three: two turns would do.
  static constexpr unsigned kMostTurns = 8;

  // Without a key there is only turn 0: the index is of the first format and has to stay so.
  NameHash(std::optional<NameKey> key, std::uint64_t seed, HashForTests instead = {})
      : key_(key), seed_(seed), instead_(std::move(instead)) {}

  [[nodiscard]] unsigned turns() const { return key_ || instead_ ? kMostTurns : 1; }
  // The first cookie of the bucket for this turn, of turns().
  [[nodiscard]] std::uint64_t bucket(InodeId directory, std::string_view name, unsigned turn) const;

 private:
  std::optional<NameKey> key_;
  std::uint64_t seed_;
  HashForTests instead_;
};

}  // namespace spillfs::index
