// SPDX-License-Identifier: Apache-2.0
// An inode in memory: what the index holds of it, and what its open files have changed since.
// VnodeTable hands out the one Vnode of an id; it lives while someone holds a reference.
#pragma once

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/volume/content/open_files.h"
#include "fs/volume/content/size_history.h"
#include "index/index.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/device.h"
#include "storage/ray_scanner.h"
#include "storage/segments.h"
#include "storage/staging.h"

namespace spillfs::fs {

struct Attributes : stat {
  Attributes() : stat{} {}
  Attributes(const stat& from) : stat(from) {}  // NOLINT: a stat that changes only through us
  bool may_change = false;                      // someone writes past us: ask again each time
  timespec born{};                              // zero: not known
};

// Of a new file that is of no use to its runtime unless all of it is written
// (fs/volume/names/runtimes.h).
struct WholeFile {
  bool watched = false;  // it is one, and its first writers have it open
  bool closed = false;   // by a process that went on
  int killed_by = 0;     // the signal, when the latest to close it was killed
  int write_error = 0;   // what its latest write failed with
};

// Readers may share `mutex`. Locks of several Vnodes are taken in the order of their ids (LockSet).
struct Vnode {
  explicit Vnode(InodeId inode_id) : id(inode_id) {}

  const InodeId id;
  SharedMutex mutex;

  bool loaded GUARDED_BY(mutex) = false;
  index::Inode inode GUARDED_BY(mutex);  // exactly what the index holds

  // The file as its users see it now; differs from `inode` while `dirty`.
  bool dirty GUARDED_BY(mutex) = false;
  std::uint64_t size GUARDED_BY(mutex) = 0;
  std::uint64_t charged GUARDED_BY(mutex) = 0;
  index::Time modified GUARDED_BY(mutex);
  index::Time changed GUARDED_BY(mutex);
  // Looks for Ray's objects as the bytes come; none once they did not all come in order.
  std::optional<storage::RayScanner> scanner GUARDED_BY(mutex);

  std::optional<OpenFiles::FileRow> row GUARDED_BY(mutex);  // while it is open
  bool unsealed GUARDED_BY(mutex) = false;    // new: a QueueEntry kUnsealed removes it at a restart
  bool opening GUARDED_BY(mutex) = false;     // its private segment still has a QueueEntry kOpening
  std::uint64_t dead GUARDED_BY(mutex) = 0;   // its dead bytes, once it is an orphan
  std::uint32_t opens GUARDED_BY(mutex) = 0;  // live handles
  std::uint32_t writers GUARDED_BY(mutex) = 0;  // of them, those that may write
  std::optional<Home> home GUARDED_BY(mutex);   // where it was made, by this process
  pid_t writer GUARDED_BY(mutex) = 0;           // the process that opened it last to write
  std::uint32_t cached GUARDED_BY(mutex) = 0;   // of them, those through the kernel's page cache
  // Of them, the direct ones whose answer the kernel may not have taken yet. It refuses that answer
  // where the file has been lent meanwhile.
  std::atomic<std::uint32_t> direct_under_way{0};
  std::uint32_t passthroughs GUARDED_BY(mutex) = 0;
  std::uint32_t passthrough_writers GUARDED_BY(mutex) = 0;
  int backing GUARDED_BY(mutex) = 0;  // its id while it is open in passthrough mode, else 0
  index::Time backing_modified GUARDED_BY(mutex);  // when catch_up() last looked
  std::uint64_t changes_in_place GUARDED_BY(mutex) = 0;
  // References that read the file in the background and keep it from nothing: its removal ends
  // them.
  long watchers GUARDED_BY(mutex) = 0;
  WholeFile whole GUARDED_BY(mutex);
  bool taken GUARDED_BY(mutex) = false;  // its name went past the kernel, which may have it still

  // Where the bytes are, for as long as it is open or changed: at most one of the three.
  std::unique_ptr<storage::StagedFile> staged GUARDED_BY(mutex);
  std::shared_ptr<storage::PrivateSegment> segment GUARDED_BY(mutex);
  std::shared_ptr<storage::File> fused GUARDED_BY(mutex);

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

// Locks several Vnodes exclusively, in the order of their ids, each once; some may be the same.
class SCOPED_LOCKABLE LockSet {
 public:
  LockSet(const VnodeRef& a, const VnodeRef& b) ACQUIRE(a->mutex, b->mutex);
  // `d` may be null.
  LockSet(const VnodeRef& a, const VnodeRef& b, const VnodeRef& c, const VnodeRef& d)
      ACQUIRE(a->mutex, b->mutex, c->mutex, d->mutex);
  ~LockSet() RELEASE();
  LockSet(const LockSet&) = delete;
  LockSet& operator=(const LockSet&) = delete;

 private:
  void lock_all() NO_THREAD_SAFETY_ANALYSIS;  // which they are, only the constructors' callers see

  std::vector<VnodeRef> vnodes_;
};

}  // namespace spillfs::fs
