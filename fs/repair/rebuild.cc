// SPDX-License-Identifier: Apache-2.0
#include "fs/repair/rebuild.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "fs/repair/new_tree.h"
#include "fs/repair/segment_claims.h"
#include "fs/volume/accounts/metadata_charge.h"
#include "fs/volume/names/attributes.h"
#include "storage/base/escaped.h"
#include "storage/ray_scanner.h"

namespace spillfs::fs {
namespace {

// Numbers above the highest seen that were perhaps given to what has left no trace.
constexpr std::uint64_t kUnseen = std::uint64_t{1} << 20;
// More of inodes: directories, empty files and what was deleted leave none, and a file handle that
// a client has kept must not name another file.
constexpr std::uint64_t kUnseenInodes = std::uint64_t{1} << 28;

// A file of the new index before it has a name.
struct FoundFile {
  index::Inode inode;
  std::string path;      // at its last seal; may be empty
  index::Batch changes;  // that go with it
};

class Rebuilder {
 public:
  Rebuilder(index::Index& index, storage::SegmentStore& segments, const SegmentClaims::Tell& tell)
      : index_(index), store_(segments), tell_(tell), claims_(segments, report_, tell) {}

  Result<RebuildReport> run(const TellProgress& progress) {
    SPILLFS_TRY(claims_.collect(progress));
    auto inodes = claims_.of_inodes();
    for (auto& [id, claim] : inodes) ++claims_.segments()[claim.segment].files;
    for (const Claim& claim : claims_.strays()) ++claims_.segments()[claim.segment].files;
    SPILLFS_TRY(put_segments());
    std::uint64_t first = claims_.highest_inode() + 1;
    if (!inodes.empty()) first = std::max(first, number(inodes.front().first) + 1);
    NewTree tree(index_, first + kUnseenInodes);
    // Of two that had one name the one made later has the better claim to it.
    for (const auto& [id, claim] : inodes) SPILLFS_TRY(add(id, claim, tree));
    for (const Claim& claim : claims_.strays()) SPILLFS_TRY(add(tree.new_inode(), claim, tree));
    SPILLFS_TRY(tree.finish());
    report_.directories = tree.directories();
    using index::Counter;
    SPILLFS_TRY(reserve_up_to(index_, Counter::kInode, tree.next_inode() - 1));
    SPILLFS_TRY(reserve_up_to(index_, Counter::kSegment, claims_.highest_segment() + kUnseen));
    SPILLFS_TRY(reserve_up_to(index_, Counter::kSequence, claims_.highest_sequence() + kUnseen));
    return report_;
  }

 private:
  Result<> put_segments() {
    for (const ClaimedSegment& segment : claims_.segments()) {
      const storage::FoundSegment& found = segment.found;
      if (!segment.ours) {
        SPILLFS_TRY(spare(found.id));
        continue;
      }
      if (found.kind == SegmentKind::kPrivate) continue;  // with its inode
      if (segment.files == 0 && segment.damaged != 0) {
        ++report_.left_out;
        tell_(fmt::format("segment {} is left as it is: nothing in it can be used",
                          name_of(segment)));
        SPILLFS_TRY(spare(found.id));
        continue;
      }
      SPILLFS_TRY(store_.trim_fused(found.id, segment.directory));
      SPILLFS_TRY(index_.commit({.put_segments = {{.id = found.id,
                                                   .kind = SegmentKind::kFused,
                                                   .directory = segment.directory,
                                                   .bytes = segment.size}}}));
    }
    // What was never sealed goes, as it does at every start.
    for (std::uint32_t position : claims_.unsealed()) {
      const ClaimedSegment& segment = claims_.segments()[position];
      const std::uint64_t id = number(segment.found.id);
      SPILLFS_TRY(index_.commit({.put_segments = {{.id = segment.found.id,
                                                   .kind = SegmentKind::kPrivate,
                                                   .directory = segment.directory}},
                                 .put_queue = {{index::QueueKind::kDead, id}}}));
    }
    return {};
  }

  // Somebody may still want what is in it: it does not go with what a loss of power left behind.
  Result<> spare(SegmentId segment) {
    return index_.commit({.put_queue = {{index::QueueKind::kSpared, number(segment)}}});
  }

  Result<> add(InodeId id, const Claim& claim, NewTree& tree) {
    const ClaimedSegment& segment = claims_.segments()[claim.segment];
    const bool fused = segment.found.kind == SegmentKind::kFused;
    FoundFile file = fused ? SPILLFS_TRY(from_record(id, claim, segment))
                           : SPILLFS_TRY(from_private(id, segment));
    ++report_.files;
    if (claim.doubtful) {  // only root, or whose store it is, shall judge it
      file.inode.mode = S_IFREG | 0600;
      file.inode.uid = ::geteuid();
      file.inode.gid = ::getegid();
    }
    const auto place = claim.doubtful ? Result<NewTree::Place>(fail(EINVAL, "it is doubtful"))
                                      : tree.place(file.path, file.inode);
    if (place) return tree.add(*place, std::move(file.inode), std::move(file.changes));
    if (place.error().code != EEXIST && place.error().code != EINVAL) {
      return tl::unexpected(place.error());
    }
    ++report_.lost;
    const auto lost = SPILLFS_TRY(tree.lost(id));
    tell_(fmt::format("{} goes to {}/{}: {}", file.path.empty() ? "a file" : escaped(file.path),
                      lost.folder, lost.name, place.error().context));
    return tree.add(lost, std::move(file.inode), std::move(file.changes));
  }

  static index::Inode new_inode(InodeId id, std::uint32_t mode, const timespec& modified) {
    const index::Time time = to_time(modified);
    return {.id = id,
            .mode = S_ISREG(mode) ? mode : S_IFREG | 0600,
            .links = 1,
            .accessed = time,
            .modified = time,
            .changed = time,
            .born = time,
            .text = {}};
  }

  static std::uint64_t count_objects(storage::File& file, const Location& at) {
    const auto read = [&](MutableBytes into, std::uint64_t offset) -> Result<> {
      const auto got = SPILLFS_TRY(file.read(into, at.data_offset + offset));
      return got == into.size() ? Result<>() : fail(EIO, "the segment ends early");
    };
    const auto found = storage::find_ray_objects(read, at.length, storage::RayTail::kWhole);
    return found ? found->size() : 0;
  }

  Result<FoundFile> from_record(InodeId id, const Claim& claim, const ClaimedSegment& segment) {
    const auto file = SPILLFS_TRY(store_.open_fused(segment.found.id, segment.directory));
    std::array<std::byte, sizeof(storage::RecordHeader)> head{};
    SPILLFS_TRY(file->read(head, claim.offset));
    std::vector<std::byte> prefix(SPILLFS_TRY(storage::record_prefix_length(head)));
    SPILLFS_TRY(file->read(prefix, claim.offset));
    auto [info, layout] = SPILLFS_TRY(storage::decode_record_header(prefix));
    FoundFile found{.inode = new_inode(id, info.mode, SPILLFS_TRY(file->status()).modified),
                    .path = std::move(info.path),
                    .changes = {}};
    index::Inode& inode = found.inode;
    inode.uid = info.uid;
    inode.gid = info.gid;
    inode.size = info.data_length;
    inode.charged = layout.length;
    inode.location = {.placement = Placement::kFused,
                      .directory = segment.directory,
                      .segment = segment.found.id,
                      .record_offset = claim.offset,
                      .record_length = layout.length,
                      .data_offset = claim.offset + layout.data_offset,
                      .length = info.data_length};
    inode.entries = count_objects(*file, inode.location);
    put_xattr(inode, "user.spill.owner_address", info.owner_address, found.changes);
    put_xattr(inode, "user.spill.metadata", info.metadata, found.changes);
    found.changes.put_records = {{segment.found.id, claim.offset, id}};
    found.changes.segments = {
        {.segment = segment.found.id, .live = static_cast<std::int64_t>(layout.length)}};
    return found;
  }

  static void put_xattr(index::Inode& inode, const char* name, const std::string& value,
                        index::Batch& batch) {
    if (value.empty()) return;
    inode.has_xattrs = true;
    inode.metadata += xattr_charge(name, value.size());
    batch.xattrs.push_back({.inode = inode.id, .name = name, .value = value});
  }

  Result<FoundFile> from_private(InodeId id, const ClaimedSegment& segment) {
    const std::string path = storage::segment_path(SegmentKind::kPrivate, segment.found.id);
    const auto file = SPILLFS_TRY(store_.device(segment.directory).open(path));
    const storage::FileStatus status = SPILLFS_TRY(file->status());
    storage::Identity identity{.length = status.size, .path = {}};
    if (const auto text = file->attribute(storage::kIdentityAttribute)) {
      identity = storage::decode_identity(*text).value_or(identity);
    }
    FoundFile found{.inode = new_inode(id, identity.mode, status.modified),
                    .path = std::move(identity.path),
                    .changes = {}};
    index::Inode& inode = found.inode;
    inode.uid = identity.mode == 0 ? ::geteuid() : identity.uid;
    inode.gid = identity.mode == 0 ? ::getegid() : identity.gid;
    // What is behind may be another file's old bytes.
    inode.size = std::min(identity.length, status.size);
    inode.charged = status.allocated;
    inode.location = {.placement = Placement::kPrivate,
                      .directory = segment.directory,
                      .segment = segment.found.id,
                      .length = inode.size};
    inode.entries = count_objects(*file, inode.location);
    found.changes.put_segments = {{.id = segment.found.id,
                                   .kind = SegmentKind::kPrivate,
                                   .directory = segment.directory,
                                   .inode = id}};
    return found;
  }

  index::Index& index_;
  storage::SegmentStore& store_;
  const SegmentClaims::Tell& tell_;
  RebuildReport report_;
  SegmentClaims claims_;
};

}  // namespace

Result<RebuildReport> rebuild_index(index::Index& index, storage::SegmentStore& segments,
                                    const std::function<void(const std::string&)>& tell,
                                    const TellProgress& progress) {
  return Rebuilder(index, segments, tell).run(progress);
}

}  // namespace spillfs::fs
