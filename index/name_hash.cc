// SPDX-License-Identifier: Apache-2.0
#include "index/name_hash.h"

#include "index/codec.h"
#include "storage/base/checksum.h"

namespace spillfs::index {
namespace {

std::uint64_t keyed_hash(const SipKey& key, InodeId directory, std::string_view name,
                         unsigned turn) {
  const std::uint64_t of = number(directory);
  const auto byte = static_cast<std::byte>(turn);
  return SipHash(key).add(bytes_of(of)).add(bytes_of(byte)).add(as_bytes(name)).finish();
}

}  // namespace

std::uint64_t NameHash::bucket(InodeId directory, std::string_view name, unsigned turn) const {
  if (instead_) return first_cookie(instead_(name, turn));
  const bool keyed = key_ && (turn > 0 || directory >= key_->first);
  return first_cookie(keyed ? keyed_hash(key_->key, directory, name, turn)
                            : xxh3_with_seed(as_bytes(name), seed_));
}

}  // namespace spillfs::index
