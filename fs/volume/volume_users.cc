// SPDX-License-Identifier: Apache-2.0
// Whose the bytes are: every change of a file's charge, for the store and for its owner.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kUsersPage = 1000;

using Totals = std::map<uid_t, index::UserTotal>;

index::UserTotal& total_of(uid_t uid, Totals& totals) {
  return totals.try_emplace(uid, index::UserTotal{.uid = uid}).first->second;
}

// What the users own, counted inode by inode: for a store that was used by a version that did not
// keep that.
Result<Totals> count_users(index::Index& index) {
  Totals totals;
  InodeId after{};
  for (;;) {
    const auto page = SPILLFS_TRY(index.inodes(after, kUsersPage));
    if (page.empty()) return totals;
    for (const index::Inode& inode : page) {
      index::UserTotal& total = total_of(inode.uid, totals);
      total.charged += static_cast<std::int64_t>(inode.charged);
      total.metadata += static_cast<std::int64_t>(inode.metadata);
    }
    after = page.back().id;
  }
}

Result<std::vector<index::UserTotal>> counted_anew(index::Index& index,
                                                   const std::vector<index::UserTotal>& known) {
  const Totals counted = SPILLFS_TRY(count_users(index));
  Totals missing = counted;
  for (const index::UserTotal& user : known) {
    index::UserTotal& total = total_of(user.uid, missing);
    total.charged -= user.charged;
    total.metadata -= user.metadata;
  }
  index::Batch batch;
  for (const auto& [uid, total] : missing) {
    if (total != index::UserTotal{.uid = uid}) batch.users.push_back(total);
  }
  SPILLFS_TRY(index.commit(batch));
  std::vector<index::UserTotal> users;
  for (const auto& [uid, total] : counted) users.push_back(total);
  return users;
}

}  // namespace

// The users' totals add up to the store's, unless a version that did not keep them was here.
Result<> Volume::recover_users(std::int64_t charged) {
  auto users = SPILLFS_TRY(index_->users());
  for (const index::UserTotal& user : users) charged -= user.charged;
  if (charged != 0) {
    spdlog::info("counting what each user's files take, once");
    auto counted = counted_anew(*index_, users);
    if (counted) {
      users = *std::move(counted);
    } else {
      spdlog::warn("not all that users own is known: {}", describe(counted.error()));
    }
  }
  for (const index::UserTotal& user : users) {
    const auto metadata = static_cast<std::uint64_t>(std::max<std::int64_t>(0, user.metadata));
    const auto bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, user.charged));
    users_.settle(user.uid, 0, bytes + metadata);
    space_.settle(0, metadata);
  }
  return {};
}

Result<> Volume::charge(Vnode& vnode, std::uint64_t bytes) {
  if (auto moved = users_.move(vnode.inode.uid, vnode.charged, bytes); !moved) {
    return tl::unexpected(over_quota(moved.error()));
  }
  if (auto moved = space_.move(vnode.charged, bytes); !moved) {
    users_.settle(vnode.inode.uid, bytes, vnode.charged);
    return tl::unexpected(over_quota(moved.error()));
  }
  vnode.charged = bytes;
  return {};
}

void Volume::settle_charge(Vnode& vnode, std::uint64_t bytes) {
  users_.settle(vnode.inode.uid, vnode.charged, bytes);
  space_.settle(vnode.charged, bytes);
  vnode.charged = bytes;
}

void Volume::let_die(Vnode& vnode) {
  vnode.dead = vnode.charged + vnode.inode.metadata;
  users_.die(vnode.inode.uid, vnode.dead);
  space_.die(vnode.dead);
}

// An orphan is opened, changed or named again: its bytes are not dead.
void Volume::revive(Vnode& vnode) {
  if (vnode.dead == 0) return;
  users_.revive(vnode.inode.uid, vnode.dead);
  space_.revive(vnode.dead);
  vnode.dead = 0;
}

// `vnode` is about to have another owner. The charge goes with it, whatever quota that one has:
// only who may do without quotas can give a file away.
void Volume::change_owner(Vnode& vnode, uid_t to) {
  const std::uint64_t all = vnode.charged + vnode.inode.metadata;
  users_.revive(vnode.inode.uid, vnode.dead);
  users_.settle(vnode.inode.uid, all, 0);
  users_.settle(to, 0, all);
  users_.die(to, vnode.dead);
}

void Volume::count_for(const index::UserTotal& user, index::Batch& batch) {
  const auto same = std::find_if(batch.users.begin(), batch.users.end(),
                                 [&](const auto& other) { return other.uid == user.uid; });
  if (same == batch.users.end()) {
    batch.users.push_back(user);
  } else {
    same->charged += user.charged;
    same->metadata += user.metadata;
  }
}

Result<MetadataCharge> Volume::charge_metadata(const index::Inode& inode, std::uint64_t before,
                                               index::Batch& batch) {
  if (options_.index_room && inode.metadata > before) SPILLFS_TRY(options_.index_room());
  count_for({.uid = inode.uid, .metadata = static_cast<std::int64_t>(inode.metadata - before)},
            batch);
  auto charge = MetadataCharge::take(users_, space_, inode.uid, before, inode.metadata);
  if (!charge) return tl::unexpected(over_quota(charge.error()));
  return charge;
}

}  // namespace spillfs::fs
