// SPDX-License-Identifier: Apache-2.0
// An inode in memory: what the index holds of it, and what its open files have changed since.
// VnodeTable hands out the one Vnode of an id; it lives while someone holds a reference.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "index/index.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/device.h"
#include "storage/ray_scanner.h"
#include "storage/segments.h"
#include "storage/staging.h"

namespace spillfs::fs {

// Everything but `id` is guarded by `mutex`; readers may share it. Locks of several Vnodes are
// taken in the order of their ids (LockSet).
struct Vnode {
  explicit Vnode(InodeId inode_id) : id(inode_id) {}

  const InodeId id;
  SharedMutex mutex;

  bool loaded = false;
  index::Inode inode;  // exactly what the index holds

  // The file as its users see it now; differs from `inode` while `dirty`.
  bool dirty = false;
  std::uint64_t size = 0;
  std::uint64_t charged = 0;
  index::Time modified, changed;
  // Looks for Ray's objects as the bytes come; none once they did not all come in order.
  std::optional<storage::RayScanner> scanner;

  bool unsealed = false;      // new: a QueueEntry kUnsealed removes it at a restart
  bool opening = false;       // its private segment still has its QueueEntry kOpening
  std::uint64_t dead = 0;     // what it counts for among the dead bytes, once it is an orphan
  std::uint32_t opens = 0;    // live handles
  std::uint32_t writers = 0;  // of them, those that may write

  // Where the bytes are, for as long as it is open or changed: at most one of the three.
  std::unique_ptr<storage::StagedFile> staged;
  std::shared_ptr<storage::PrivateSegment> segment;
  std::shared_ptr<storage::File> fused;

  // Sums of the sealed bytes and the chunks that have been compared with them, from the first read
  // until the next change.
  Mutex sums_mutex;
  std::optional<std::vector<std::uint64_t>> sums GUARDED_BY(sums_mutex);
  std::vector<bool> verified GUARDED_BY(sums_mutex);
};

using VnodeRef = std::shared_ptr<Vnode>;

class VnodeTable : public std::enable_shared_from_this<VnodeTable> {
 public:
  // The Vnode of `id`, new and not loaded if there was none.
  VnodeRef get(InodeId id);
  // The Vnodes in use now.
  std::vector<VnodeRef> all();

 private:
  struct Shard {
    Mutex mutex;
    std::unordered_map<std::uint64_t, std::weak_ptr<Vnode>> vnodes GUARDED_BY(mutex);
  };
  Shard& shard(InodeId id) { return shards_[number(id) % shards_.size()]; }
  void drop(InodeId id);

  std::array<Shard, 64> shards_;
};

// Locks several Vnodes exclusively, in the order of their ids, each once.
class LockSet {
 public:
  explicit LockSet(std::vector<VnodeRef> vnodes) NO_THREAD_SAFETY_ANALYSIS;
  ~LockSet() NO_THREAD_SAFETY_ANALYSIS;
  LockSet(const LockSet&) = delete;
  LockSet& operator=(const LockSet&) = delete;

 private:
  std::vector<VnodeRef> vnodes_;
};

}  // namespace spillfs::fs
