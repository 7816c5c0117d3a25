// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson and Bernstein, 2012): a hash with a secret key. Without the key its values
// can be neither predicted nor made equal, also by a user who chooses what is hashed and sees what
// comes out; they do not give the key away.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs {

using SipKey = std::array<std::byte, 16>;

// From the kernel's random numbers; waits for them early in a boot.
Result<SipKey> random_sip_key();

// The hash of one message, given piece by piece. Threads: one.
class SipHash {
 public:
  explicit SipHash(const SipKey& key);
  SipHash& add(Bytes bytes);
  // Once, at the end.
  std::uint64_t finish();

 private:
  void round();
  void compress(std::uint64_t word);

  std::array<std::uint64_t, 4> state_;
  std::array<std::byte, sizeof(std::uint64_t)> word_{};  // what does not fill one yet
  std::size_t length_ = 0;                               // of all so far
};

}  // namespace spillfs
