// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/content/vnode.h"

#include <algorithm>

namespace spillfs::fs {

VnodeRef VnodeTable::get(InodeId id) {
  Shard& home = shard(id);
  MutexLock lock(home.mutex);
  std::weak_ptr<Vnode>& slot = home.vnodes[number(id)];
  if (VnodeRef vnode = slot.lock()) return vnode;
  auto forget = [table = weak_from_this()](Vnode* vnode) {
    const InodeId gone = vnode->id;
    delete vnode;
    if (auto alive = table.lock()) alive->drop(gone);
  };
  VnodeRef vnode(new Vnode(id), forget);
  slot = vnode;
  return vnode;
}

void VnodeTable::drop(InodeId id) {
  Shard& home = shard(id);
  MutexLock lock(home.mutex);
  auto slot = home.vnodes.find(number(id));
  if (slot != home.vnodes.end() && slot->second.expired()) home.vnodes.erase(slot);
}

std::vector<VnodeRef> VnodeTable::all() {
  std::vector<VnodeRef> found;
  for (Shard& home : shards_) {
    MutexLock lock(home.mutex);
    for (auto& [id, slot] : home.vnodes) {
      if (VnodeRef vnode = slot.lock()) found.push_back(std::move(vnode));
    }
  }
  return found;
}

LockSet::LockSet(const VnodeRef& a, const VnodeRef& b) : vnodes_({a, b}) { lock_all(); }

LockSet::LockSet(const VnodeRef& a, const VnodeRef& b, const VnodeRef& c, const VnodeRef& d)
    : vnodes_({a, b, c}) {
  if (d != nullptr) vnodes_.push_back(d);
  lock_all();
}

void LockSet::lock_all() {
  std::sort(vnodes_.begin(), vnodes_.end(),
            [](const VnodeRef& x, const VnodeRef& y) { return x->id < y->id; });
  vnodes_.erase(std::unique(vnodes_.begin(), vnodes_.end()), vnodes_.end());
  for (const VnodeRef& vnode : vnodes_) vnode->mutex.lock();
}

LockSet::~LockSet() {
  for (const VnodeRef& vnode : vnodes_) vnode->mutex.unlock();
}

}  // namespace spillfs::fs
