// SPDX-License-Identifier: Apache-2.0
// Whose the bytes are: every change of a file's charge, for the store and for its owner.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "fs/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kPage = 1000;

// What the users own, counted inode by inode: for a store that was used by a version that did not
// keep that.
Result<std::map<uid_t, std::int64_t>> count_users(index::Index& index) {
  std::map<uid_t, std::int64_t> charged;
  InodeId after{};
  for (;;) {
    const auto page = SPILLFS_TRY(index.inodes(after, kPage));
    if (page.empty()) return charged;
    for (const index::Inode& inode : page) {
      charged[inode.uid] += static_cast<std::int64_t>(inode.charged);
    }
    after = page.back().id;
  }
}

Result<std::vector<index::UserTotal>> counted_anew(index::Index& index,
                                                   const std::vector<index::UserTotal>& known) {
  const auto charged = SPILLFS_TRY(count_users(index));
  auto missing = charged;
  for (const index::UserTotal& user : known) missing[user.uid] -= user.charged;
  index::Batch batch;
  for (const auto& [uid, bytes] : missing) {
    if (bytes != 0) batch.users.push_back({.uid = uid, .charged = bytes});
  }
  SPILLFS_TRY(index.commit(batch));
  std::vector<index::UserTotal> users;
  for (const auto& [uid, bytes] : charged) users.push_back({.uid = uid, .charged = bytes});
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
    users_.settle(user.uid, 0, static_cast<std::uint64_t>(std::max<std::int64_t>(0, user.charged)));
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
  vnode.dead = vnode.charged;
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
  users_.revive(vnode.inode.uid, vnode.dead);
  users_.settle(vnode.inode.uid, vnode.charged, 0);
  users_.settle(to, 0, vnode.charged);
  users_.die(to, vnode.dead);
}

void Volume::count_for(uid_t uid, std::int64_t bytes, index::Batch& batch) {
  const auto same = std::find_if(batch.users.begin(), batch.users.end(),
                                 [uid](const auto& user) { return user.uid == uid; });
  if (same == batch.users.end()) {
    batch.users.push_back({.uid = uid, .charged = bytes});
  } else {
    same->charged += bytes;
  }
}

}  // namespace spillfs::fs
