// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/accounts/metadata_charge.h"

#include <sys/stat.h>

#include <utility>

#include "storage/base/bytes.h"

namespace spillfs::fs {

std::uint64_t inode_charge(const index::Inode& inode) {
  const std::uint64_t target = S_ISLNK(inode.mode) ? inode.text.size() : 0;
  return kRowCharge + round_up(target, kRowCharge);
}

std::uint64_t xattr_charge(std::string_view name, std::uint64_t value_size) {
  return kRowCharge + round_up(name.size() + value_size, kRowCharge);
}

Result<MetadataCharge> MetadataCharge::take(UserSpace& users, Space& space, uid_t owner,
                                            std::uint64_t before, std::uint64_t after) {
  if (after <= before) return MetadataCharge(users, space, owner, before, after);
  SPILLFS_TRY(users.move(owner, before, after));
  if (auto moved = space.move(before, after); !moved) {
    users.settle(owner, after, before);
    return tl::unexpected(moved.error());
  }
  return MetadataCharge(users, space, owner, before, after);
}

MetadataCharge::MetadataCharge(MetadataCharge&& other) noexcept
    : users_(other.users_),
      space_(other.space_),
      owner_(other.owner_),
      before_(other.before_),
      after_(std::exchange(other.after_, other.before_)) {}

void MetadataCharge::settle(std::uint64_t before, std::uint64_t after) {
  users_.settle(owner_, before, after);
  space_.settle(before, after);
}

void MetadataCharge::keep() {
  if (after_ < before_) settle(before_, after_);
  before_ = after_;
}

MetadataCharge::~MetadataCharge() {
  if (after_ > before_) settle(after_, before_);
}

}  // namespace spillfs::fs
