// SPDX-License-Identifier: Apache-2.0
// The objects inside files that Ray wrote, and the segments, for people who look at them.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fs/volume/names/attributes.h"
#include "fs/volume/volume.h"

namespace spillfs::fs {
namespace {

storage::RayTail tail_of(const Vnode& vnode) REQUIRES_SHARED(vnode.mutex) {
  return vnode.writers > 0 ? storage::RayTail::kMayBeCut : storage::RayTail::kWhole;
}

}  // namespace

// `from` was written at `offset`; vnode.size is still what it was before.
void Volume::scan(Vnode& vnode, Bytes from, std::uint64_t offset) {
  if (vnode.size == 0 && offset == 0) vnode.scanner.emplace();
  if (!vnode.scanner) return;
  if (vnode.scanner->position() == offset && vnode.size == offset) {
    vnode.scanner->update(from);
  } else {
    vnode.scanner.reset();
  }
}

Result<std::vector<storage::RayObject>> Volume::find_objects(Vnode& vnode, storage::RayTail tail) {
  const auto read = [&](MutableBytes into, std::uint64_t offset) NO_THREAD_SAFETY_ANALYSIS {
    // Not read_content(): verifying would read a whole chunk for each header.
    return vnode.staged != nullptr ? read_content(vnode, into, offset)
                                   : read_sealed(vnode, into, offset);
  };
  return storage::find_ray_objects(read, vnode.size, tail);
}

// As the file will be after its last writer: for a seal, which must not fail for it.
std::uint64_t Volume::count_objects(Vnode& vnode) {
  if (vnode.scanner && vnode.scanner->position() == vnode.size) {
    return vnode.scanner->objects_if_whole();
  }
  const auto found = find_objects(vnode, storage::RayTail::kWhole);
  return found ? found->size() : 0;
}

Result<std::uint64_t> Volume::count_ray_objects(InodeId id) {
  const VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SPILLFS_TRY(prove(vnode));
  ExclusiveLock lock(vnode->mutex);
  SPILLFS_TRY(catch_up(*vnode));
  if (!S_ISREG(vnode->inode.mode) || vnode->size == 0) return 0;
  if (vnode->writers > 0 && vnode->scanner) return vnode->scanner->objects();
  if (!vnode->dirty && vnode->writers == 0) return vnode->inode.entries;
  SPILLFS_TRY(open_content(*vnode));
  return SPILLFS_TRY(find_objects(*vnode, tail_of(*vnode))).size();
}

Result<Volume::RayObjects> Volume::ray_objects(InodeId id) {
  const VnodeRef vnode = SPILLFS_TRY(acquire(id));
  SPILLFS_TRY(prove(vnode));
  ExclusiveLock lock(vnode->mutex);
  SPILLFS_TRY(catch_up(*vnode));
  RayObjects found{.file = stat_of(*vnode), .path = {}, .objects = {}};
  if (!S_ISREG(vnode->inode.mode) || vnode->size == 0) return found;
  found.path = SPILLFS_TRY(path_of(vnode->inode));
  SPILLFS_TRY(open_content(*vnode));
  auto objects = find_objects(*vnode, tail_of(*vnode));
  const bool as_sealed = !vnode->dirty && vnode->writers == 0;
  close_idle_content(*vnode);
  found.objects = SPILLFS_TRY(std::move(objects));
  if (as_sealed && found.objects.empty() && vnode->inode.entries > storage::HeaderWindows::kMost) {
    return fail(ENOENT, "an earlier version counted more objects than are shown");
  }
  if (as_sealed && found.objects.size() != vnode->inode.entries) {
    spdlog::error("segment {}: inode {} had {} Ray objects when it was sealed and has {}",
                  storage::segment_name(vnode->inode.location), number(id), vnode->inode.entries,
                  found.objects.size());
    return fail(EIO, "Ray's headers are damaged");
  }
  return found;
}

Result<std::vector<index::Segment>> Volume::list_segments(SegmentId after, std::size_t limit) {
  auto found = SPILLFS_TRY(index_->segments(SegmentKind::kFused, after, limit));
  const auto more = SPILLFS_TRY(index_->segments(SegmentKind::kPrivate, after, limit));
  found.insert(found.end(), more.begin(), more.end());
  std::sort(found.begin(), found.end(),
            [](const index::Segment& a, const index::Segment& b) { return a.id < b.id; });
  if (found.size() > limit) found.resize(limit);
  return found;
}

Result<Volume::SegmentFile> Volume::open_segment(SegmentId id) {
  const index::Segment segment = SPILLFS_TRY(index_->segment(id));
  const std::string path = storage::segment_path(segment.kind, id);
  return SegmentFile{.name = storage::segment_name(segment.kind, id),
                     .file = SPILLFS_TRY(segments_->device(segment.directory).open(path))};
}

}  // namespace spillfs::fs
