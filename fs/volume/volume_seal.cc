// SPDX-License-Identifier: Apache-2.0
// Sealing: a writer's bytes so far go into their segment, then one batch makes the index name them.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <climits>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kLongestPath = PATH_MAX;

}  // namespace

Result<> Volume::seal(Vnode& vnode) {
  return vnode.inode.links == 0 ? Result<>{} : seal_named(vnode);
}

Result<> Volume::seal_named(Vnode& vnode) {
  if (!vnode.dirty && !vnode.unsealed) return {};
  if (vnode.staged != nullptr && vnode.size != 0) return seal_staged(vnode);
  if (vnode.segment != nullptr) return seal_private(vnode);
  index::Inode sealed = live_inode(vnode);
  if (vnode.size == 0) {
    sealed.location = {};
    sealed.entries = 0;
    vnode.staged.reset();
    note_staged(vnode);
  }
  return commit_seal(vnode, std::move(sealed), {});
}

Result<> Volume::seal_staged(Vnode& vnode) {
  const std::vector<Bytes> payload = vnode.staged->spans();
  storage::RecordInfo info = SPILLFS_TRY(record_info(vnode));
  storage::measure(info, payload);
  const Location location = SPILLFS_TRY(append_fused(info, payload));
  index::Inode sealed = live_inode(vnode);
  sealed.location = location;
  sealed.charged = location.record_length;
  sealed.entries = count_objects(vnode);
  index::Batch batch;
  name_record(location, vnode.id, batch);
  if (auto done = commit_seal(vnode, std::move(sealed), std::move(batch)); !done) {
    fused_.abandon(location);
    return done;
  }
  fused_.commit(location);
  vnode.staged.reset();
  note_staged(vnode);
  return open_content(vnode);
}

Result<> Volume::seal_private(Vnode& vnode) {
  SPILLFS_TRY(vnode.segment->trim());
  index::Inode sealed = live_inode(vnode);
  sealed.location = vnode.segment->location();
  sealed.entries = count_objects(vnode);
  index::Batch batch;
  // Rows that an earlier seal has put are as they were: each seal of a long stream costs the same.
  const std::uint64_t first = vnode.segment->kept_sums() / index::kSumsPerRow * index::kSumsPerRow;
  const auto sums = vnode.segment->sums(first);
  sealed.sums_valid = sums.has_value();
  if (sums) {
    batch.put_sums.push_back({.segment = vnode.segment->id(), .sums = *sums, .first = first});
  }
  const bool named = vnode.inode.location.segment == sealed.location.segment;
  if (!named || vnode.opening) {
    batch.erase_queue.push_back({index::QueueKind::kOpening, number(vnode.segment->id())});
  }
  SPILLFS_TRY(identify(vnode));
  SPILLFS_TRY(commit_seal(vnode, std::move(sealed), std::move(batch)));
  vnode.segment->note_sums_kept();
  vnode.opening = false;
  return {};
}

Result<> Volume::commit_seal(Vnode& vnode, index::Inode sealed, index::Batch batch) {
  SPILLFS_TRY(stamp(vnode, sealed));
  const index::Inode before = vnode.inode;
  const bool moved = before.location.segment != sealed.location.segment ||
                     before.location.record_offset != sealed.location.record_offset;
  if (moved) release_location(before, batch);
  const bool other_bytes = moved || sealed.size == 0;
  if (other_bytes) forget_damage(vnode.id, batch);
  batch.put_inodes.push_back(sealed);
  const auto grown = static_cast<std::int64_t>(sealed.charged - before.charged);
  batch.totals.charged += grown;
  count_for({.uid = sealed.uid, .charged = grown}, batch);
  if (vnode.unsealed) {
    batch.erase_queue.push_back({index::QueueKind::kUnsealed, number(vnode.id)});
  }
  SPILLFS_TRY(index_->commit(batch));
  if (moved && before.location.placement == Placement::kFused) fused_.kill(before.location);
  if (other_bytes) damaged_.remove(vnode.id);
  settle_charge(vnode, sealed.charged);
  vnode.inode = std::move(sealed);
  vnode.dirty = false;
  vnode.unsealed = false;
  publish(vnode);
  forget_sums(vnode);
  return {};
}

// The changes that make a record live.
void Volume::name_record(const Location& location, InodeId inode, index::Batch& batch) {
  const auto length = static_cast<std::int64_t>(location.record_length);
  batch.put_records.push_back({location.segment, location.record_offset, inode});
  batch.segments.push_back({.segment = location.segment, .bytes = length, .live = length});
}

// The changes that make an inode's bytes dead.
void Volume::release_location(const index::Inode& inode, index::Batch& batch) {
  const Location& location = inode.location;
  if (location.placement == Placement::kFused) {
    const auto length = static_cast<std::int64_t>(location.record_length);
    auto same = std::find_if(batch.segments.begin(), batch.segments.end(), [&](const auto& change) {
      return change.segment == location.segment;
    });
    if (same == batch.segments.end()) {
      batch.segments.push_back({.segment = location.segment, .bytes = 0, .live = -length});
    } else {
      same->live -= length;
    }
    batch.erase_records.push_back({location.segment, location.record_offset, inode.id});
  } else if (location.placement == Placement::kPrivate) {
    batch.put_queue.push_back({index::QueueKind::kDead, number(location.segment)});
  }
}

Result<storage::RecordInfo> Volume::record_info(Vnode& vnode) {
  storage::RecordInfo info{.sequence = SPILLFS_TRY(numbers_.next(index::Counter::kSequence)),
                           .inode = vnode.id,
                           .mode = SPILLFS_TRY(InodeAcls(*index_).mode_without(vnode.inode)),
                           .uid = vnode.inode.uid,
                           .gid = vnode.inode.gid,
                           .path = {},
                           .owner_address = {},
                           .metadata = {},
                           .sums = {}};
  if (vnode.inode.has_xattrs) {
    info.owner_address = SPILLFS_TRY(xattr_or_empty(vnode.id, "user.spill.owner_address"));
    info.metadata = SPILLFS_TRY(xattr_or_empty(vnode.id, "user.spill.metadata"));
  }
  // A file that was never sealed has no other name than its first: link() seals.
  info.path = SPILLFS_TRY(vnode.unsealed ? path_to(vnode.inode) : path_of(vnode.inode));
  return info;
}

Result<std::string> Volume::xattr_or_empty(InodeId id, std::string_view name) {
  return SPILLFS_TRY(if_any(index_->xattr(id, name), ENODATA)).value_or("");
}

// So that a lost index can be made again.
Result<> Volume::identify(Vnode& vnode) {
  const std::string path =
      SPILLFS_TRY(vnode.unsealed ? path_to(vnode.inode) : path_of(vnode.inode));
  const std::uint32_t mode = SPILLFS_TRY(InodeAcls(*index_).mode_without(vnode.inode));
  return vnode.segment->identify({.store = segments_->store_id(),
                                  .inode = vnode.id,
                                  .mode = mode,
                                  .uid = vnode.inode.uid,
                                  .gid = vnode.inode.gid,
                                  .path = path});
}

// Where the inode is in the mount, by the last name it was given; empty where that is gone.
Result<std::string> Volume::path_of(const index::Inode& inode) {
  return SPILLFS_TRY(has_its_name(inode)) ? path_to(inode) : std::string();
}

// The same where the inode certainly has that name. Empty, too, where it is deeper than any path
// that a program can name, or a record take: directories nest without end.
Result<std::string> Volume::path_to(const index::Inode& inode) {
  std::string path = "/" + inode.text;
  for (InodeId id = inode.parent; id != kRootInode;) {
    const auto directory = SPILLFS_TRY(if_any(index_->inode(id)));
    if (!directory || path.size() > kLongestPath) return std::string();
    path.insert(0, "/" + directory->text);
    id = directory->parent;
  }
  return path;
}

Result<bool> Volume::has_its_name(const index::Inode& inode) {
  if (S_ISLNK(inode.mode) || inode.text.empty()) return false;
  const auto found = SPILLFS_TRY(if_any(index_->find(inode.parent, inode.text)));
  return found && found->inode == inode.id;
}

Result<Location> Volume::append_fused(const storage::RecordInfo& info,
                                      std::span<const Bytes> payload) {
  auto location = fused_.append(info, payload);
  if (!location) return tl::unexpected(no_space(location.error()));
  return location;
}

}  // namespace spillfs::fs
