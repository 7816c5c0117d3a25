// SPDX-License-Identifier: Apache-2.0
#include "fs/repair/check.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "fs/volume/content/chunk_sums.h"
#include "fs/volume/durability/sync_epochs.h"
#include "storage/base/checksum.h"
#include "storage/base/escaped.h"
#include "storage/data_map.h"

namespace spillfs::fs {
namespace {

constexpr std::size_t kCheckPage = 1000;

struct Names {
  std::uint64_t entries = 0;      // in this directory
  std::uint64_t directories = 0;  // of them, directories
  std::uint64_t links = 0;        // names of this inode
};

struct Use {
  std::uint64_t bytes = 0;
  std::uint64_t live = 0;
};

class Checker {
 public:
  Checker(index::Index& index, storage::SegmentStore& segments, const BootView& boot,
          const std::function<void(const std::string&)>& problem, const TellProgress& progress)
      : index_(index), segments_(segments), boot_(boot), problem_(problem), progress_(progress) {}

  Result<CheckReport> run() {
    const index::SyncMark mark = SPILLFS_TRY(index_.sync_mark());
    const bool booted = booted_since(mark, boot_) != BootedSince::kNo;
    epochs_.start(mark, boot_, booted ? BootedSince::kYes : BootedSince::kNo);
    total_ = static_cast<std::uint64_t>(SPILLFS_TRY(index_.totals()).charged);
    SPILLFS_TRY(read_queue());
    SPILLFS_TRY(each_inode([&](const index::Inode& inode) { return check_names_in(inode); }));
    SPILLFS_TRY(each_inode([&](const index::Inode& inode) { return check_inode(inode); }));
    SPILLFS_TRY(check_totals());
    SPILLFS_TRY(check_segments(SegmentKind::kFused));
    SPILLFS_TRY(check_segments(SegmentKind::kPrivate));
    if (booted) return report_;  // the next mount removes strays
    for (DirectoryId directory : segments_.directories()) SPILLFS_TRY(check_strays(directory));
    return report_;
  }

 private:
  template <class... Arguments>
  void found(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    ++report_.problems;
    problem_(fmt::format(text, std::forward<Arguments>(arguments)...));
  }

  Result<> read_queue() {
    using index::QueueKind;
    for (QueueKind kind :
         {QueueKind::kUnsealed, QueueKind::kOrphan, QueueKind::kOpening, QueueKind::kDead}) {
      const bool of_inodes = kind == QueueKind::kUnsealed || kind == QueueKind::kOrphan;
      SPILLFS_TRY(for_each_queued(index_, kind, [&](const auto& entry) {
        (of_inodes ? queued_inodes_ : queued_).insert(entry.id);
        return Result<>();
      }));
    }
    return {};
  }

  template <class Each>
  Result<> each_inode(Each each) {
    InodeId after{0};
    for (;;) {
      const auto page = SPILLFS_TRY(index_.inodes(after, kCheckPage));
      if (page.empty()) return {};
      for (const index::Inode& inode : page) {
        if (auto done = each(inode); !done) return done;
      }
      after = page.back().id;
    }
  }

  Result<> check_names_in(const index::Inode& inode) {
    if (!S_ISDIR(inode.mode)) return {};
    std::uint64_t after = 0;
    for (;;) {
      const auto page = SPILLFS_TRY(index_.list(inode.id, after, kCheckPage));
      if (page.empty()) return {};
      for (const index::Dentry& dentry : page) SPILLFS_TRY(check_name(inode, dentry));
      after = page.back().cookie;
    }
  }

  Result<> check_name(const index::Inode& directory, const index::Dentry& dentry) {
    ++report_.names;
    Names& here = names_[number(directory.id)];
    ++here.entries;
    ++names_[number(dentry.inode)].links;
    const auto target = index_.inode(dentry.inode);
    if (!target) {
      found("'{}' in directory {} names inode {}, which does not exist", escaped(dentry.name),
            number(directory.id), number(dentry.inode));
      return {};
    }
    if ((target->mode & S_IFMT) != dentry.type) {
      found("'{}' in directory {} has the wrong type", escaped(dentry.name), number(directory.id));
    }
    if (!S_ISDIR(target->mode)) return {};
    ++names_[number(directory.id)].directories;
    if (target->parent != directory.id || target->text != dentry.name) {
      found("directory {} does not know that it is '{}' in {}", number(target->id),
            escaped(dentry.name), number(directory.id));
    }
    return {};
  }

  Result<> check_inode(const index::Inode& inode) {
    ++report_.inodes;
    charged_ += static_cast<std::int64_t>(inode.charged);
    users_[inode.uid].charged += static_cast<std::int64_t>(inode.charged);
    users_[inode.uid].metadata += static_cast<std::int64_t>(inode.metadata);
    const std::uint64_t id = number(inode.id);
    const Names& names = names_[id];
    if (S_ISDIR(inode.mode)) {
      if (inode.entries != names.entries) {
        found("directory {} counts {} entries and has {}", id, inode.entries, names.entries);
      }
      const std::uint64_t links = 2 + names.directories;
      if (inode.links != links && inode.links != 0) {
        found("directory {} counts {} links and has {}", id, inode.links, links);
      }
      if (inode.id != kRootInode && inode.links != 0 && names.links != 1) {
        found("directory {} has {} names", id, names.links);
      }
    } else if (inode.links != names.links) {
      found("inode {} counts {} links and has {}", id, inode.links, names.links);
    }
    if (inode.links == 0 && !queued_inodes_.contains(id)) {
      found("inode {} has no names and nothing will remove it", id);
    }
    if (inode.location.placement == Placement::kFused) return check_fused(inode);
    if (inode.location.placement == Placement::kPrivate) return check_private(inode);
    if (S_ISREG(inode.mode) && inode.size != 0) found("inode {} has a size and no bytes", id);
    return {};
  }

  // Nobody will read it, or not before its bytes have been compared.
  bool is_passed_over(const index::Inode& inode) {
    if (inode.links == 0) return true;
    const bool doubtful = epochs_.is_doubtful(inode.sealed_in);
    if (doubtful) ++report_.doubtful;
    return doubtful;
  }

  Result<> check_fused(const index::Inode& inode) {
    ++report_.records;
    const Location& at = inode.location;
    const std::uint64_t id = number(inode.id);
    Use& use = uses_[number(at.segment)];
    use.live += at.record_length;
    const auto rows = SPILLFS_TRY(index_.records(at.segment, at.record_offset, 1));
    if (rows.empty() || rows[0].offset != at.record_offset || rows[0].inode != inode.id) {
      found("inode {} is not the owner of its record", id);
    }
    if (is_passed_over(inode)) return {};
    const auto file = segments_.open_fused(at.segment, at.directory);
    if (!file) {
      found("inode {}: {}", id, file.error().context);
      return {};
    }
    std::vector<std::byte> prefix(at.data_offset - at.record_offset);
    const auto got = (*file)->read(prefix, at.record_offset);
    if (!got || *got != prefix.size()) {
      found("segment {} ends before the record of inode {}", number(at.segment), id);
      return {};
    }
    const auto record = storage::decode_record_header(prefix);
    if (!record) {
      found("segment {} at {}, inode {}: {}", number(at.segment), at.record_offset, id,
            record.error().context);
      return {};
    }
    if (record->info.inode != inode.id || record->info.data_length != at.length ||
        inode.size != at.length) {
      found("the record of inode {} contradicts the index", id);
    }
    compare(inode, **file, at.data_offset, ChunkSums(record->info.sums));
    return {};
  }

  Result<> check_private(const index::Inode& inode) {
    const Location& at = inode.location;
    const std::uint64_t id = number(inode.id);
    uses_[number(at.segment)].live = at.length;
    const auto segment = index_.segment(at.segment);
    if (!segment || segment->inode != inode.id) {
      found("inode {} is not the owner of segment {}", id, number(at.segment));
    }
    if (is_passed_over(inode)) return {};
    const auto open = segments_.open_private(at.segment, at.directory, at.length);
    if (!open) {
      found("inode {}: {}", id, open.error().context);
      return {};
    }
    if (inode.size != at.length) found("inode {} contradicts the length of its segment", id);
    if (!inode.sums_valid) return {};
    compare(inode, *(*open)->file(), 0, ChunkSums(index_, at.segment, chunk_count(at.length)));
    return {};
  }

  // Bytes against sums, chunk by chunk.
  void compare(const index::Inode& inode, storage::File& file, std::uint64_t offset,
               ChunkSums sums) {
    const std::uint64_t length = inode.location.length;
    if (sums.count() != chunk_count(length)) {
      found("inode {} has {} sums for {} bytes", number(inode.id), sums.count(), length);
      return;
    }
    storage::DataMap data(file);
    const bool may_have_holes = inode.location.placement == Placement::kPrivate;
    for (std::uint64_t i = 0; i < sums.count(); ++i) {
      const std::uint64_t part = std::min(kChunk, length - i * kChunk);
      const auto sum = sums.at(i);
      if (!sum) {
        found("inode {} has {} sums for {} bytes", number(inode.id), i, length);
        return;
      }
      const bool hole = may_have_holes && data.is_hole(i * kChunk, part);
      if (!hole) count_bytes(part);
      const auto real = hole ? storage::sum_of_zeros(part)
                             : sum_of(file, offset + i * kChunk, part).value_or(~*sum);
      if (real == *sum) continue;
      found("inode {}: segment {} is damaged between {} and {}", number(inode.id),
            number(inode.location.segment), offset + i * kChunk, offset + i * kChunk + part);
    }
  }

  void count_bytes(std::uint64_t bytes) {
    report_.bytes += bytes;
    if (progress_) progress_(report_.bytes, total_);
  }

  Result<std::uint64_t> sum_of(storage::File& file, std::uint64_t offset, std::uint64_t length) {
    chunk_.resize(length);
    if (SPILLFS_TRY(file.read(chunk_, offset)) != length) return fail(EIO, "it ends early");
    return xxh3(chunk_);
  }

  Result<> check_totals() {
    const index::Totals totals = SPILLFS_TRY(index_.totals());
    if (totals.charged != charged_ || totals.inodes != static_cast<std::int64_t>(report_.inodes)) {
      found("the index counts {} bytes and {} inodes and has {} and {}", totals.charged,
            totals.inodes, charged_, report_.inodes);
    }
    return check_users(totals.charged);
  }

  // A version that does not keep users' totals leaves some that do not add up: the next mount
  // counts them.
  Result<> check_users(std::int64_t charged) {
    const auto users = SPILLFS_TRY(index_.users());
    for (const index::UserTotal& user : users) charged -= user.charged;
    if (charged != 0) return {};
    for (const index::UserTotal& user : users) {
      users_[user.uid].charged -= user.charged;
      users_[user.uid].metadata -= user.metadata;
    }
    for (const auto& [uid, difference] : users_) {
      if (difference.charged != 0) {
        found("of user {}'s bytes {} are not counted", uid, difference.charged);
      }
      if (difference.metadata != 0) {
        found("of the bytes that user {}'s names and xattrs count for {} are not counted", uid,
              difference.metadata);
      }
    }
    return {};
  }

  Result<> check_segments(SegmentKind kind) {
    SegmentId after = kNoSegment;
    for (;;) {
      const auto page = SPILLFS_TRY(index_.segments(kind, after, kCheckPage));
      if (page.empty()) return {};
      for (const index::Segment& segment : page) SPILLFS_TRY(check_segment(segment));
      after = page.back().id;
    }
  }

  Result<> check_segment(const index::Segment& segment) {
    ++report_.segments;
    const std::uint64_t id = number(segment.id);
    rows_.insert(id);
    const bool used = uses_.contains(id);
    if (segment.kind == SegmentKind::kPrivate) {
      if (!used && !queued_.contains(id)) found("private segment {} is nobody's", id);
      return {};
    }
    if (segment.live != (used ? uses_[id].live : 0) || segment.live > segment.bytes) {
      found("fused segment {} counts {} live of {} bytes and has {}", id, segment.live,
            segment.bytes, used ? uses_[id].live : 0);
    }
    std::uint64_t from = 0;
    for (;;) {
      const auto page = SPILLFS_TRY(index_.records(segment.id, from, kCheckPage));
      if (page.empty()) return {};
      for (const index::Record& record : page) {
        const auto owner = index_.inode(record.inode);
        if (!owner || owner->location.segment != segment.id ||
            owner->location.record_offset != record.offset) {
          found("the record at {} of segment {} is nobody's", record.offset, id);
        }
      }
      from = page.back().offset + 1;
    }
  }

  Result<> check_strays(DirectoryId directory) {
    for (const storage::FoundSegment& file : SPILLFS_TRY(segments_.list(directory))) {
      if (rows_.contains(number(file.id))) continue;
      found("{}/{} belongs to no segment of the index", segments_.device(directory).name(),
            storage::segment_path(file.kind, file.id));
    }
    return {};
  }

  index::Index& index_;
  storage::SegmentStore& segments_;
  const BootView& boot_;
  const std::function<void(const std::string&)>& problem_;
  const TellProgress& progress_;
  std::uint64_t total_ = 0;  // bytes, about
  SyncEpochs epochs_;
  CheckReport report_;
  std::vector<std::byte> chunk_;
  std::int64_t charged_ = 0;
  std::unordered_map<std::uint32_t, index::UserTotal> users_;
  std::unordered_set<std::uint64_t> queued_inodes_;
  std::unordered_set<std::uint64_t> queued_;  // segments
  std::unordered_set<std::uint64_t> rows_;    // segments of the index
  std::unordered_map<std::uint64_t, Names> names_;
  std::unordered_map<std::uint64_t, Use> uses_;
};

}  // namespace

Result<CheckReport> check_store(index::Index& index, storage::SegmentStore& segments,
                                const BootView& boot,
                                const std::function<void(const std::string&)>& problem,
                                const TellProgress& progress) {
  return Checker(index, segments, boot, problem, progress).run();
}

}  // namespace spillfs::fs
