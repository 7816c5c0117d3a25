// SPDX-License-Identifier: Apache-2.0
// The filesystem, without FUSE: what a request means. Volume joins the index and the segments and
// keeps the one ordering rule: bytes first, then the index names them.
//
// Threads: every method may be called from any thread. No method waits for space: one that would
// fails with kWaitForSpace while reclaim still has something to give back, and the caller tries
// again or, when it has waited long enough, reports ENOSPC. Permissions are the kernel's to check
// (default_permissions). Errors are the errnos Linux file systems give. Lock order:
// docs/ARCHITECTURE.md.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/volume/accounts/metadata_charge.h"
#include "fs/volume/accounts/numbers.h"
#include "fs/volume/accounts/space.h"
#include "fs/volume/accounts/user_shares.h"
#include "fs/volume/accounts/user_space.h"
#include "fs/volume/content/fused_segments.h"
#include "fs/volume/content/open_files.h"
#include "fs/volume/content/past_writers.h"
#include "fs/volume/content/staged_files.h"
#include "fs/volume/content/vnode.h"
#include "fs/volume/durability/checksummer.h"
#include "fs/volume/durability/damage.h"
#include "fs/volume/durability/prover.h"
#include "fs/volume/durability/sealed_bytes.h"
#include "fs/volume/durability/sync_epochs.h"
#include "fs/volume/durability/syncer.h"
#include "fs/volume/names/inode_acls.h"
#include "fs/volume/names/mapped_owners.h"
#include "fs/volume/volume_types.h"
#include "index/index.h"
#include "storage/base/bytes.h"
#include "storage/base/ids.h"
#include "storage/base/result.h"
#include "storage/ray_scanner.h"
#include "storage/segments.h"
#include "storage/staging.h"

namespace spillfs::fs {

class Volume {
 public:
  enum class Start : std::uint8_t {
    kMount,
    kRestart,  // of a mount whose process died: the kernel has it still
  };
  struct Parts {
    std::unique_ptr<index::Index> index;
    std::unique_ptr<storage::SegmentStore> segments;
    std::unique_ptr<storage::Staging> staging;
    std::unique_ptr<OpenFiles> open_files;  // none: one that ends with the process
    Start start = Start::kMount;
    // What the kernel was lent by a process that died; called by open().
    std::function<void(int)> take_back;
  };
  // Recovers what an earlier process left. At a mount, what was never sealed and what nobody names
  // goes; at a restart all that was open goes on, from `staging` and `open_files`.
  static Result<std::unique_ptr<Volume>> open(Parts parts, VolumeOptions options);
  // Seals every open file.
  ~Volume();

  Result<Attributes> lookup(InodeId parent, std::string_view name);
  // An inode that a file handle names, and the directory that one is in. ESTALE where it is gone.
  Result<Attributes> look_up_number(InodeId id);
  Result<Attributes> look_up_parent(InodeId id);
  Result<Attributes> get_attributes(InodeId id);
  Result<Attributes> set_attributes(InodeId id, const SetAttributes& set);
  Result<std::string> readlink(InodeId id);

  Result<Attributes> mknod(InodeId parent, std::string_view name, std::uint32_t mode,
                           std::uint64_t device, Caller caller);
  Result<Attributes> mkdir(InodeId parent, std::string_view name, std::uint32_t mode,
                           Caller caller);
  Result<Attributes> symlink(InodeId parent, std::string_view name, std::string_view target,
                             Caller caller);
  // Of a file whose owner has a quota only the owner and root make further names (EPERM): each one
  // counts for the owner, and keeps the file.
  Result<Attributes> link(InodeId id, InodeId parent, std::string_view name, Caller caller = {});
  Result<> unlink(InodeId parent, std::string_view name, RequestId request = kNoRequest);
  Result<> rmdir(InodeId parent, std::string_view name, RequestId request = kNoRequest);
  // Removes a name, past the kernel: ENOENT where it is another inode's, EBUSY where that is in
  // use, ENOTEMPTY. Whoever still has the name is told ESTALE, and then looks for it again.
  Result<> remove_unused(InodeId parent, std::string_view name, const Unused& only);
  // `flags`: RENAME_NOREPLACE, RENAME_WHITEOUT, both, none, or RENAME_EXCHANGE. `caller`: whose a
  // whiteout is.
  Result<> rename(InodeId from, std::string_view from_name, InodeId to, std::string_view to_name,
                  unsigned flags, const Caller& caller = {});

  // Exactly once: what a request has changed is noted under its number until its answer has gone
  // out. The inode it was answered with (0: none), when a process that died had done it.
  Result<std::optional<InodeId>> replied(RequestId request);
  // The kernel has the answer.
  void answered(RequestId request) EXCLUDES(answered_mutex_);
  // `flags` are open(2)'s. create() opens an existing file unless O_EXCL. A request for which a
  // process that died has opened a handle gets that one.
  Result<Opened> create(InodeId parent, std::string_view name, std::uint32_t mode, int flags,
                        Caller caller);
  Result<Opened> create_unnamed(InodeId parent, std::uint32_t mode, int flags,
                                Caller caller);  // O_TMPFILE
  Result<Opened> open_file(InodeId id, int flags, Caller caller = {});

  // The user whose open(2) made the handle; root where there is none such.
  uid_t opener_of(HandleId handle);

  Result<std::size_t> read(HandleId handle, MutableBytes into, std::uint64_t offset);
  // At `offset`, with O_APPEND as well: the kernel turns an append into the file's end, and sends a
  // mapping's pages through whatever handle may write.
  // With kCallAgain kWaitForDisk, instead of waiting for it; so does flush().
  Result<> write(HandleId handle, Bytes from, std::uint64_t offset,
                 storage::DiskWait wait = storage::DiskWait::kWait);
  Result<> allocate(HandleId handle, int mode, std::uint64_t offset,
                    std::uint64_t length);  // fallocate(2)'s mode
  Result<std::uint64_t> seek(HandleId handle, std::uint64_t offset, int whence);
  Result<std::uint64_t> copy_range(HandleId from, std::uint64_t from_offset, HandleId to,
                                   std::uint64_t to_offset, std::uint64_t length);
  // Seals: after it the bytes survive SIGKILL.
  // `closer`: the process whose close it is; 0: not known.
  Result<> flush(HandleId handle, storage::DiskWait wait = storage::DiskWait::kWait,
                 pid_t closer = 0);
  Result<> fsync(HandleId handle);  // …and power loss
  Result<> release(HandleId handle);
  Result<> fsync_directory(InodeId id);

  // As fsync() without waiting: `done` is called from this thread or another.
  void make_durable(HandleId handle, Syncer::Done done);
  // All changes of names so far survive power loss.
  void make_names_durable(Syncer::Done done);
  // Waits until all of those are answered.
  void finish_syncs();
  // The mount promises that a change of names (a close of this handle) survives power loss.
  [[nodiscard]] bool syncs_names() const { return options_.sync_closes; }
  bool syncs_close(HandleId handle);
  // flush() will wait for the disk: it replaces bytes that are there.
  bool closes_slowly(HandleId handle);
  // open_file(), or a change of its size, needs prove_first().
  bool is_doubtful(InodeId id);
  // Everything that was sealed so far survives power loss.
  Result<> sync_all() EXCLUDES(sync_run_);
  // As fsync() of every open file, and sync_all(). Fails as well where an earlier sync has lost
  // what it could not write.
  Result<> sync_everything() EXCLUDES(sync_run_);
  // Looks at every file that may not have survived one; in the background by itself.
  Result<> prove_all();
  // Calls `done` once `user` may open such a file: now, or when it has been compared with its sums;
  // or with the reason why it can't be opened. Calls that need it and do not wait so fail with
  // EAGAIN meanwhile.
  void prove_first(InodeId id, uid_t user, const Prover::Done& done);
  // Calls all who wait, and from now on at once, with ECANCELED.
  void finish_proofs();

  // "." has cookie 1 and ".." 2; the rest follows in cookie order. Empty at the end.
  Result<std::vector<DirectoryEntry>> list(InodeId id, std::uint64_t after, std::size_t limit,
                                           Listing listing = Listing::kWithAttributes);

  // Those of our own (fs/volume/names/own_xattrs.h) can be got, are in no list, and setting or
  // removing one does nothing; but what marks a file as half-written can be removed. ACLs:
  // fs/volume/names/inode_acls.h.
  Result<std::string> get_xattr(InodeId id, std::string_view name);
  Result<> set_xattr(InodeId id, std::string_view name, std::string_view value, int flags,
                     RequestId request = kNoRequest, SetGid set_gid = SetGid::kStays);
  Result<std::vector<std::string>> list_xattrs(InodeId id);
  Result<> remove_xattr(InodeId id, std::string_view name, RequestId request = kNoRequest);

  // The objects in a file that Ray wrote, complete ones only; any other file has none, and so has
  // one that nobody writes any more and whose last object is cut short.
  struct RayObjects {
    struct stat file;
    std::string path;  // of the file in the mount; empty where unknown
    std::vector<storage::RayObject> objects;
  };
  Result<RayObjects> ray_objects(InodeId id);
  // How many ray_objects() would say: no read where the file is as it was sealed.
  Result<std::uint64_t> count_ray_objects(InodeId id);

  // The segments with ids above `after`, for people who look. The file is open for reading.
  struct SegmentFile {
    std::string name;  // "7.fused"
    std::shared_ptr<storage::File> file;
  };
  Result<std::vector<index::Segment>> list_segments(SegmentId after, std::size_t limit);
  Result<SegmentFile> open_segment(SegmentId id);

  // Compares the files in the first segment above `after` with their sums, as they are on the disk.
  // Those whose bytes are wrong are EIO to open from then on, also after a restart, until they are
  // truncated to nothing, removed, or found whole again. ENOENT when there is no such segment,
  // ECANCELED when options.pace says to stop.
  Result<Scrubbed> scrub_next(SegmentId after, const ScrubOptions& options);
  // Where a scrub that was stopped goes on; outlives the process. kNoSegment: at the start.
  Result<SegmentId> scrub_position();
  Result<index::ScrubMark> scrub_mark() { return index_->scrub_mark(); }
  Result<> keep_scrub(SegmentId position, const index::ScrubMark& mark);

  // What there is for `uid`, whom a quota may leave less than there is.
  Result<struct statvfs> statfs(uid_t uid = 0);
  // The bytes that each user's files, names and xattrs count for.
  std::map<uid_t, std::uint64_t> users() { return users_.charged(); }
  // The bytes that all files count for.
  std::uint64_t charged() { return space_.charged(); }
  struct Status {
    std::int64_t inodes = 0;
    std::uint64_t charged = 0, dead = 0, pool = 0, quota = 0, staging_free = 0;  // bytes
    std::size_t handles = 0;
    // Private segments so far, by how they are written.
    std::uint64_t cached_files = 0, direct_files = 0, passthrough_files = 0;
    std::uint64_t sync_requests = 0, sync_groups = 0;  // answered together
    bool unsynced = false;      // something was sealed since the last sync of everything
    std::size_t damaged = 0;    // files that scrub has found to be wrong
    std::string index_trouble;  // why it takes no changes; empty when it does
    std::uint64_t fused_segments = 0, fused_bytes = 0, fused_live = 0;  // bytes: of records
    std::uint64_t summed = 0, waiting_for_sums = 0;                     // bytes read so far; files
    std::uint64_t reclaim_runs = 0, freed_segments = 0, copied_bytes = 0;  // so far
  };
  Status status();
  struct DirectoryStatus {
    std::string path;
    Result<storage::DeviceSpace> space;
    bool takes_segments = true;  // false: it has failed, and is left out for a while
  };
  std::vector<DirectoryStatus> directories();
  // Inodes with ids above `after`, as they were last committed: for people who count.
  Result<std::vector<index::Inode>> list_inodes(InodeId after, std::size_t limit) {
    return index_->inodes(after, limit);
  }
  // "/a/b"; empty where it has no name, or it can't be found out.
  std::string path_for_log(InodeId id);
  Result<index::Inode> committed_inode(InodeId id) { return index_->inode(id); }
  // The kernel has let go of an inode: a hint for reclaim.
  void forget(InodeId id);

  // What Volume asks and tells the kernel's side. What is not set is not called: then only open
  // handles hold an inode, and nothing is passed through.
  struct Kernel {
    // From reclaim's own thread:
    std::function<bool(InodeId)> holds;        // does the kernel still know this inode?
    std::function<void(InodeId)> drop_caches;  // what the kernel remembers of it is wrong
    std::function<void()> wake;  // also from the write threads: space was freed or bytes written
    // From any thread, with the inode's lock held:
    std::function<Result<int>(int descriptor)>
        lend;  // lets the kernel do a file's I/O; its id, > 0
    std::function<void(int)> take_back;
    std::function<void(InodeId)> drop_attributes;
    bool direct_writes = false;  // a direct write drops the cached pages it goes past
  };
  // Waits until no run of reclaim uses the old one.
  void set_kernel(Kernel kernel);
  // Runs reclaim until there is nothing left it can do now, or a stop is requested.
  Result<> reclaim_now(const std::stop_token& stop = {});
  // Makes the sums that are due; in the background by itself.
  void sum_now();

 private:
  using Clock = std::chrono::steady_clock;
  struct Handle {
    VnodeRef vnode;
    int flags = 0;  // open(2)'s
    IoMode mode = IoMode::kCached;
    uid_t opener = 0;
    bool taken = false;  // the kernel has used it, so it has taken the answer to the open
  };
  // What a new inode is made of.
  struct Prototype {
    std::uint32_t mode = 0;
    std::uint64_t device = 0;
    std::string text;  // a symlink's target
    bool unsealed = false;
  };
  enum class Removal : std::uint8_t { kFile, kDirectory };
  struct RenameNames {
    std::string_view from;
    std::string_view to;
  };
  struct Renaming {
    VnodeRef from, to;  // directories
    VnodeRef source;
    VnodeRef target;  // null where the new name is free
    Caller caller = {};
    bool leaves_whiteout = false;
  };
  // A record that is being moved.
  struct Copy {
    VnodeRef vnode;
    Location from, to;
  };

  Volume(Parts parts, VolumeOptions options);

  // volume.cc: vnodes, handles
  Result<VnodeRef> acquire_named(InodeId id);
  Result<VnodeRef> acquire(InodeId id);
  Result<VnodeRef> acquire_directory(InodeId id);
  void keep_directory(const VnodeRef& vnode) EXCLUDES(kept_mutex_);
  void let_go(const Vnode& vnode) EXCLUDES(kept_mutex_);
  Result<> load(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<Handle> handle(HandleId id) EXCLUDES(handles_mutex_);
  Result<HandleId> add_handle(const Handle& handle, RequestId request) EXCLUDES(handles_mutex_);
  Result<> commit_answer(index::Batch& batch, RequestId request, InodeId inode = {})
      EXCLUDES(answered_mutex_);
  std::shared_ptr<const Kernel> kernel_side() EXCLUDES(reclaim_mutex_);
  Error wait_for_space(const Error& error, std::uint64_t reclaimable);
  Error over_quota(const Error& error);
  Error no_space(const Error& error);

  // volume_names.cc, volume_rename.cc
  Result<VnodeRef> make(InodeId parent, std::string_view name, const Prototype& prototype,
                        Caller caller);
  Result<index::Inode> new_inode(const index::Inode& parent, const Prototype& prototype,
                                 Caller caller);
  Result<VnodeRef> commit_new(index::Inode inode, index::Batch& batch, const Prototype& prototype,
                              const std::optional<Home>& home, RequestId request);
  // With `only` ENOENT where the name is another inode's, EBUSY where it is used after all.
  Result<> remove(InodeId parent, std::string_view name, Removal removal, RequestId request,
                  const std::optional<Unused>& only = std::nullopt);
  Result<MetadataCharge> drop_link(const Vnode& vnode, index::Inode& after, index::Batch& batch,
                                   index::Time now) REQUIRES_SHARED(vnode.mutex);
  Result<> check_not_inside(const index::Inode& moved, InodeId directory);
  Result<> replace(const Renaming& on, const RenameNames& names)
      REQUIRES(on.from->mutex, on.to->mutex, on.source->mutex, on.target->mutex);
  Result<MetadataCharge> leave_whiteout(const Renaming& on, const RenameNames& names,
                                        index::Inode& from, index::Batch& batch);
  Result<> exchange(const Renaming& on, const RenameNames& names)
      REQUIRES(on.from->mutex, on.to->mutex, on.source->mutex, on.target->mutex);
  Result<> commit_rename(const Renaming& on, index::Batch& batch, index::Inode from,
                         index::Inode to, index::Inode moved)
      REQUIRES(on.from->mutex, on.to->mutex, on.source->mutex, on.target->mutex);

  // volume_orphans.cc: what tells later whether anybody will come back
  void note_creator(const index::Inode& parent, index::Inode& made, index::Batch& batch,
                    Caller caller);
  void note_close(Vnode& vnode, pid_t closer) REQUIRES(vnode.mutex);
  void note_last_close(Vnode& vnode) REQUIRES(vnode.mutex);
  void adopt(Vnode& vnode) REQUIRES(vnode.mutex);
  static Result<> check_unused(const Vnode& vnode, const Unused& only) REQUIRES_SHARED(vnode.mutex);

  // volume_files.cc
  Result<Opened> open_vnode(const VnodeRef& vnode, int flags, Caller caller) REQUIRES(vnode->mutex);
  void count_open(const VnodeRef& vnode, int flags, IoMode mode) REQUIRES(vnode->mutex);
  Result<> check_handles(uid_t opener);
  void close_row(Vnode& vnode) REQUIRES(vnode.mutex);
  static Opened opened_as(const Vnode& vnode, HandleId id, const Handle& handle)
      REQUIRES_SHARED(vnode.mutex);
  Result<> truncate(Vnode& vnode, std::uint64_t size) REQUIRES(vnode.mutex);
  Result<> resize(Vnode& vnode, std::uint64_t size) REQUIRES(vnode.mutex);
  struct Write {
    Bytes from;
    std::uint64_t offset = 0;
    storage::DiskWait wait = storage::DiskWait::kWait;
  };
  Result<> write_at(Vnode& vnode, int flags, const Write& write) REQUIRES(vnode.mutex);
  Result<> stage(Vnode& vnode, const Write& write) REQUIRES(vnode.mutex);
  Result<> write_private(Vnode& vnode, const Write& write) REQUIRES(vnode.mutex);
  Result<> prepare_blocks(Vnode& vnode, const Write& write, std::uint64_t growth)
      REQUIRES(vnode.mutex);
  Result<> kill_privileges(Vnode& vnode, const Caller& by) REQUIRES(vnode.mutex);
  Result<> check_room_for_xattr(const Vnode& vnode, std::string_view name)
      REQUIRES_SHARED(vnode.mutex);
  // volume_attributes.cc
  Result<> drop_capabilities(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> put_xattr(const VnodeRef& vnode, index::Inode after, index::Batch::XattrChange change,
                     RequestId request) REQUIRES(vnode->mutex);
  void revert(Vnode& vnode) REQUIRES(vnode.mutex);

  // volume_content.cc: where the bytes are
  Result<> open_content(Vnode& vnode) REQUIRES(vnode.mutex);
  static void close_idle_content(Vnode& vnode) REQUIRES(vnode.mutex);
  // What a private segment is made for.
  enum class Purpose : std::uint8_t {
    kWrite,  // its writer goes on
    kEvict,  // its bytes have to leave staging
    kLend,   // to the kernel
  };
  Result<> make_private(Vnode& vnode, Purpose purpose) REQUIRES(vnode.mutex);
  bool writes_directly(const Vnode& vnode, Purpose purpose) REQUIRES_SHARED(vnode.mutex);
  Result<std::shared_ptr<storage::PrivateSegment>> new_private(Vnode& vnode, Purpose purpose)
      REQUIRES(vnode.mutex);
  void discard(SegmentId id);
  Result<> copy_to_private(Vnode& vnode, storage::PrivateSegment& to) REQUIRES(vnode.mutex);
  static constexpr std::uint64_t kAllBytes = ~std::uint64_t{0};
  Result<> before_change_in_place(Vnode& vnode, std::uint64_t keeps = kAllBytes)
      REQUIRES(vnode.mutex);
  bool evict_largest(const Vnode& keep);
  void settle_private(Vnode& vnode) REQUIRES(vnode.mutex);
  // Fills `into` from `offset`, which with it lies inside the file.
  Result<> read_content(Vnode& vnode, MutableBytes into, std::uint64_t offset)
      REQUIRES_SHARED(vnode.mutex);
  Result<> read_verified(Vnode& vnode, MutableBytes into, std::uint64_t offset)
      REQUIRES_SHARED(vnode.mutex);
  Result<> read_sealed(Vnode& vnode, MutableBytes into, std::uint64_t offset)
      REQUIRES_SHARED(vnode.mutex);
  Result<std::vector<std::uint64_t>> read_sums(Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  Result<storage::DecodedRecord> read_record(const Location& location);
  static void forget_sums(Vnode& vnode) REQUIRES(vnode.mutex);

  // volume_passthrough.cc
  bool knows_pages(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  bool streams_past_us(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  Result<IoMode> choose_io_mode(Vnode& vnode, int flags, uid_t caller) REQUIRES(vnode.mutex);
  bool wants_passthrough(const Vnode& vnode, int flags, uid_t caller) REQUIRES_SHARED(vnode.mutex);
  Result<> make_dense(Vnode& vnode, std::uint64_t size) REQUIRES(vnode.mutex);
  bool stays_dense(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  Result<bool> lend(Vnode& vnode, int flags, const Kernel& kernel) REQUIRES(vnode.mutex);
  Result<> before_lending_for_writing(Vnode& vnode, const Kernel& kernel) REQUIRES(vnode.mutex);
  void take_back(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> catch_up(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> catch_up_with_writers(Vnode& vnode) EXCLUDES(vnode.mutex);
  bool sweep() EXCLUDES(reclaim_mutex_);

  // volume_scrub.cc
  struct ScrubWalk;
  void scrub_superblock(const index::Segment& segment, ScrubWalk& walk);
  Result<> scrub_records(const index::Segment& segment, ScrubWalk& walk);
  Result<> scrub_inode(InodeId id, const index::Record& at, ScrubWalk& walk);
  bool is_still(const index::Inode& seen);
  Result<> confirm(const index::Inode& seen, const Flaw& flaw, Scrubbed& found);
  Result<> confirm_whole(const index::Inode& seen);
  Result<> load_damaged();
  void forget_damage(InodeId id, index::Batch& batch);
  Result<> refuse_damaged(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);

  // volume_objects.cc: what Ray wrote
  static void scan(Vnode& vnode, Bytes from, std::uint64_t offset) REQUIRES(vnode.mutex);
  Result<std::vector<storage::RayObject>> find_objects(Vnode& vnode, storage::RayTail tail)
      REQUIRES_SHARED(vnode.mutex);
  std::uint64_t count_objects(Vnode& vnode) REQUIRES_SHARED(vnode.mutex);

  // volume_seal.cc: bytes first, then the index names them
  Result<> seal(Vnode& vnode) REQUIRES(vnode.mutex);  // nothing to do for an inode without names
  Result<> seal_named(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> seal_staged(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> seal_private(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> commit_seal(Vnode& vnode, index::Inode sealed, index::Batch batch) REQUIRES(vnode.mutex);
  Result<Location> append_fused(const storage::RecordInfo& info, std::span<const Bytes> payload);
  static void name_record(const Location& location, InodeId inode, index::Batch& batch);
  static void release_location(const index::Inode& inode, index::Batch& batch);
  Result<storage::RecordInfo> record_info(Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  Result<> identify(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<std::string> xattr_or_empty(InodeId id, std::string_view name);
  Result<std::string> path_of(const index::Inode& inode);
  Result<std::string> path_to(const index::Inode& inode);
  Result<bool> has_its_name(const index::Inode& inode);

  // volume_users.cc: charges, the one way to change them
  Result<> recover_users(std::int64_t charged);
  Result<> charge(Vnode& vnode, std::uint64_t bytes) REQUIRES(vnode.mutex);  // EDQUOT, ENOSPC, wait
  void settle_charge(Vnode& vnode, std::uint64_t bytes) REQUIRES(vnode.mutex);  // never fails
  void let_die(Vnode& vnode) REQUIRES(vnode.mutex);
  void revive(Vnode& vnode) REQUIRES(vnode.mutex);
  void change_owner(Vnode& vnode, uid_t to) REQUIRES(vnode.mutex);
  static void count_for(const index::UserTotal& user, index::Batch& batch);
  // `inode` is about to be committed by `batch` with a metadata charge that was `before`: EDQUOT,
  // ENOSPC, wait.
  Result<MetadataCharge> charge_metadata(const index::Inode& inode, std::uint64_t before,
                                         index::Batch& batch);

  // volume_durability.cc
  Result<> stamp(Vnode& vnode, index::Inode& sealed) REQUIRES(vnode.mutex);
  Result<> seal_open(Vnode& vnode) EXCLUDES(vnode.mutex);
  Result<Syncer::Request> sync_request(HandleId id);
  Result<> note_on_disk(Vnode& vnode, const Location& location, index::Epoch sealed_in)
      EXCLUDES(vnode.mutex);
  Result<> sync_bytes(const Location& location);
  Result<> sync_devices();
  Result<> end_epoch() REQUIRES(sync_run_);
  Result<> sync_at_end() EXCLUDES(sync_run_);
  void sync_loop(const std::stop_token& stop);
  void start_syncing();
  void stop_syncing();

  // volume_power_loss.cc
  Result<> recover_epochs();
  Result<> remove_strays();
  Result<> leave_numbers_in_use();
  bool is_doubtful(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  class LostFiles;
  std::unique_ptr<DoubtfulFiles> lost_files();
  using Pace = std::function<bool(std::uint64_t bytes)>;  // may sleep; false: stop
  Result<bool> needs_proof(Vnode& vnode) EXCLUDES(vnode.mutex);
  Result<> prove(const VnodeRef& vnode) EXCLUDES(vnode->mutex);
  Result<> prove_at_once(const VnodeRef& vnode, const Pace& pace) EXCLUDES(vnode->mutex);
  Result<std::unique_ptr<ByteProof>> begin_proof(const VnodeRef& vnode) EXCLUDES(vnode->mutex);
  Result<> settle_proof(const VnodeRef& vnode, const ByteProof& proof, ByteProof::Verdict verdict)
      EXCLUDES(vnode->mutex);
  Result<> prove_all(const Pace& pace);
  void prove_in_background(const std::stop_token& stop);
  Result<> drop_lost(const VnodeRef& vnode) EXCLUDES(vnode->mutex);

  // volume_recovery.cc
  Result<> recover();
  Result<> hide_unsealed();
  Result<> recover_segments();
  Result<> make_root();
  Result<> recover_unsealed(const index::QueueEntry& entry);
  Result<> recover_orphan(const index::QueueEntry& entry);
  Result<> recover_opening(const index::QueueEntry& entry);
  bool is_open(const index::Segment& segment);

  // volume_restore.cc: what the process before this one had open
  static OpenFile open_file_of(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  void publish(const Vnode& vnode) REQUIRES(vnode.mutex);
  void note_staged(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  void publish_cut(const Vnode& vnode, std::uint64_t size) REQUIRES(vnode.mutex);
  Result<> restore();
  Result<VnodeRef> restore_file(OpenFiles::FileRow row, const OpenFile& file,
                                std::span<const storage::Staging::Left> left);
  Result<> restore_bytes(Vnode& vnode, const OpenFile& file,
                         std::span<const storage::Staging::Left> left) REQUIRES(vnode.mutex);
  Result<std::uint64_t> restore_segment(Vnode& vnode, const OpenFile& file,
                                        std::span<const storage::Staging::Left> left)
      REQUIRES(vnode.mutex);
  Result<> restore_handle(HandleId id, const OpenHandle& open);
  void settle_restored(const VnodeRef& vnode);
  void take_back_stale(int id);
  std::optional<Opened> opened_before(RequestId request) EXCLUDES(handles_mutex_);

  // volume_sums.cc
  class ChangedFile;
  class ChangedFiles;
  std::unique_ptr<FilesToSum> changed_files();
  void sum_later(const index::Inode& inode);

  // volume_reclaim.cc
  void orphaned(const VnodeRef& vnode) REQUIRES(vnode->mutex);
  void reclaim_loop(const std::stop_token& stop);
  Result<> reclaim_orphans(const std::stop_token& stop);
  static bool is_in_use(Vnode& vnode) EXCLUDES(vnode.mutex);
  Result<> reclaim_orphans(std::span<const VnodeRef> orphans);
  static SegmentId unnamed_segment(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex);
  static void erase_orphan(const Vnode& vnode, index::Batch& batch) REQUIRES(vnode.mutex);
  void bury(Vnode& vnode) REQUIRES(vnode.mutex);
  Result<> reclaim_dead(const std::stop_token& stop);
  Result<> free_segment(SegmentId id);
  Result<> compact_all(const std::stop_token& stop);
  bool reclaim_is_wanted() EXCLUDES(reclaim_mutex_);
  Result<> compact_worst();
  Result<> compact(SegmentId segment);
  Result<> copy_record(const index::Record& record, std::vector<Copy>& copies);
  Result<> name_copies(const std::vector<Copy>& copies);
  Result<> sync_copies(const std::vector<Copy>& copies);
  Result<bool> name_copy(const Copy& copy);
  bool may_be_mapped(SegmentId id) EXCLUDES(reclaim_mutex_);
  void kick_reclaim() EXCLUDES(reclaim_mutex_);
  void reclaim_soon() REQUIRES(reclaim_mutex_);

  const std::unique_ptr<storage::Staging> staging_;
  const std::unique_ptr<storage::SegmentStore> segments_;
  const std::unique_ptr<index::Index> index_;
  const std::unique_ptr<OpenFiles> open_files_;
  const Start start_;
  const std::function<void(int)> take_back_;  // at the start only
  const VolumeOptions options_;
  storage::WritePool write_pool_;
  SizeHistory sizes_;
  std::atomic<std::uint64_t> cached_files_{0};
  std::atomic<std::uint64_t> direct_files_{0};
  std::atomic<std::uint64_t> passthrough_files_{0};
  const std::shared_ptr<VnodeTable> vnodes_ = std::make_shared<VnodeTable>();
  Space space_;
  UserSpace users_;
  const PastWriters past_writers_;
  UserShares handle_shares_;
  MappedOwners mapped_owners_;
  StagedFiles staged_files_;
  Numbers numbers_;
  FusedSegments fused_;
  std::atomic<std::int64_t> inodes_{0};
  DamagedFiles damaged_;
  std::atomic<std::uint64_t> reclaim_runs_{0};
  std::atomic<std::uint64_t> freed_segments_{0};
  std::atomic<std::uint64_t> copied_bytes_{0};  // by compaction
  std::atomic<bool> space_wanted_{false};       // someone waits for space, of whatever kind
  std::atomic<bool> pool_wanted_{false};  // a data directory is full: the pool's blocks must go
  Mutex directory_moves_;

  // Directories used lately stay in memory, each in the place its id gives it; none without names.
  Mutex kept_mutex_;
  std::array<VnodeRef, 64> kept_directories_ GUARDED_BY(kept_mutex_);

  Mutex handles_mutex_;
  std::unordered_map<std::uint64_t, Handle> handles_ GUARDED_BY(handles_mutex_);
  std::unordered_map<std::uint64_t, HandleId> restored_ GUARDED_BY(handles_mutex_);  // by request

  Mutex answered_mutex_;
  std::vector<RequestId> answered_ GUARDED_BY(answered_mutex_);  // whose replies can go

  Mutex reclaim_mutex_;
  CondVar reclaim_wanted_;
  bool reclaim_kicked_ GUARDED_BY(reclaim_mutex_) = false;
  std::unordered_map<std::uint64_t, VnodeRef> orphans_ GUARDED_BY(reclaim_mutex_);
  std::unordered_map<std::uint64_t, std::uint64_t> dead_private_ GUARDED_BY(reclaim_mutex_);
  std::unordered_set<std::uint64_t> reverted_ GUARDED_BY(reclaim_mutex_);
  std::unordered_map<std::uint64_t, VnodeRef> passthrough_writers_ GUARDED_BY(reclaim_mutex_);
  std::unordered_set<std::uint64_t> lent_for_writing_ GUARDED_BY(reclaim_mutex_);  // segments
  std::unordered_set<std::uint64_t> dense_ GUARDED_BY(reclaim_mutex_);  // of them, in kMapped mode
  std::shared_ptr<const Kernel> kernel_ GUARDED_BY(reclaim_mutex_) = std::make_shared<Kernel>();
  // Only the kernel knows which orphans it still holds.
  std::atomic<bool> kernel_unknown_{false};
  Mutex reclaim_run_;  // one run of reclaim at a time
  std::jthread reclaimer_;

  const std::unique_ptr<FilesToSum> changed_files_;
  Checksummer checksummer_;

  SyncEpochs epochs_;
  std::atomic<bool> unsynced_{false};  // something was sealed since the last sync of everything
  Mutex sync_run_;                     // one sync of everything at a time
  bool sync_failed_ GUARDED_BY(sync_run_) = false;
  Mutex sync_wait_mutex_;
  CondVar sync_wanted_;
  Syncer syncer_;
  const std::unique_ptr<DoubtfulFiles> lost_files_;
  Prover prover_;
  std::jthread syncing_;
  std::jthread proving_;
};

}  // namespace spillfs::fs
