// SPDX-License-Identifier: Apache-2.0
// CapabilitySet: some of the pieces that root's power is divided into (capabilities(7)), and what a
// thread has of them. To be used while a process has one thread: others keep what they have.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::fs {

class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  // CAP_… of <linux/capability.h>.
  constexpr CapabilitySet(std::initializer_list<int> capabilities) {
    for (const int each : capabilities) bits_ |= std::uint64_t{1} << static_cast<unsigned>(each);
  }
  static constexpr CapabilitySet of_bits(std::uint64_t bits) {
    CapabilitySet set;
    set.bits_ = bits;
    return set;
  }

  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr bool has(int capability) const {
    return (bits_ >> static_cast<unsigned>(capability) & 1) != 0;
  }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  // "CAP_SYS_ADMIN", …
  [[nodiscard]] std::vector<std::string> names() const;

  friend constexpr CapabilitySet operator&(CapabilitySet a, CapabilitySet b) {
    return of_bits(a.bits_ & b.bits_);
  }
  friend constexpr CapabilitySet operator|(CapabilitySet a, CapabilitySet b) {
    return of_bits(a.bits_ | b.bits_);
  }
  friend constexpr CapabilitySet operator-(CapabilitySet a, CapabilitySet b) {
    return of_bits(a.bits_ & ~b.bits_);
  }
  friend constexpr bool operator==(CapabilitySet, CapabilitySet) = default;

 private:
  std::uint64_t bits_ = 0;
};

// What this thread may make use of.
CapabilitySet held_capabilities();
// Of what is held only `these` count from now on; the others can be had back.
Result<> use_capabilities(CapabilitySet these);
// Of what is held only `these` stay, for good, and no program that is started gets them by
// inheritance.
Result<> keep_capabilities(CapabilitySet these);
// No program that is started gets others than `these`, even as root. Nothing is done without
// CAP_SETPCAP: whoever took that away has set a bound of his own.
Result<> bound_capabilities(CapabilitySet these);

}  // namespace spillfs::fs
