// SPDX-License-Identifier: Apache-2.0
// A Batch as rows of one WriteBatch.
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "index/codec.h"
#include "index/rocksdb_index.h"
#include "index/rocksdb_options.h"

namespace spillfs::index {
namespace {

constexpr const char* kBehindNumbers =
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff";  // every key of 8 bytes is below

std::string encode_signpost(std::uint64_t names_beyond) {
  return encode(Dentry{.inode = InodeId{names_beyond}, .name = {}});
}

}  // namespace

Result<> RocksdbIndex::commit(const Batch& batch) {
  rocksdb::WriteBatch rows;
  SPILLFS_TRY(add_inodes(rows, batch));
  Overlay overlay;
  for (const auto& change : batch.dentries) SPILLFS_TRY(add_dentry(overlay, change));
  for (const auto& [key, row] : overlay) {
    const auto status =
        row ? rows.Put(family(kDentries), key, *row) : rows.Delete(family(kDentries), key);
    SPILLFS_TRY(result_of(status, "change a name"));
  }
  SPILLFS_TRY(add_segments(rows, batch));
  SPILLFS_TRY(add_queue(rows, batch));
  SPILLFS_TRY(add_replies(rows, batch));
  SPILLFS_TRY(add_totals(rows, batch));
  if (batch.put_sync_mark) {
    const auto put = rows.Put(family(kMeta), kSyncMarkKey, encode(*batch.put_sync_mark));
    SPILLFS_TRY(result_of(put, "put the sync mark"));
    const auto boot = rows.Put(family(kMeta), kBootKey, encode_boot(*batch.put_sync_mark));
    SPILLFS_TRY(result_of(boot, "put the boot"));
  }
  if (batch.put_scrub_mark) {
    const CounterRow seconds{.first = batch.put_scrub_mark->began,
                             .second = batch.put_scrub_mark->compared_since};
    const auto put = rows.Put(family(kMeta), kScrubMarkKey, encode(seconds));
    SPILLFS_TRY(result_of(put, "put the scrub mark"));
  }
  return write(rows);
}

Result<> RocksdbIndex::write(rocksdb::WriteBatch& rows, const char* doing) {
  const bool refused = !health_->trouble().empty();
  auto status = db_->Write({}, &rows);
  if (status.IsNoSpace() && options_.no_space && options_.no_space() &&
      health_->resume(*db_).ok()) {
    status = db_->Write({}, &rows);
  }
  if (refused && !status.ok() && !status.IsNoSpace()) {
    return fail(EROFS, std::string(doing) + ": it takes no changes: " + status.ToString());
  }
  return result_of(status, doing);
}

Result<> RocksdbIndex::erase_range(rocksdb::WriteBatch& rows, Family of, const std::string& from,
                                   const std::string& to) {
  return scan(of, from, to, [&](std::string_view key, std::string_view) -> Result<bool> {
    SPILLFS_TRY(result_of(rows.Delete(family(of), key), "erase a row"));
    return true;
  });
}

Result<> RocksdbIndex::add_inodes(rocksdb::WriteBatch& rows, const Batch& batch) {
  for (InodeId id : batch.erase_inodes) {
    SPILLFS_TRY(result_of(rows.Delete(family(kInodes), key_of(number(id))), "erase an inode"));
  }
  for (InodeId id : batch.erase_xattrs) {
    SPILLFS_TRY(erase_range(rows, kXattrs, key_of(number(id)), key_of(number(id) + 1)));
  }
  for (const Inode& inode : batch.put_inodes) {
    const std::string key = key_of(number(inode.id));
    SPILLFS_TRY(result_of(rows.Put(family(kInodes), key, encode(inode)), "put an inode"));
  }
  for (const auto& change : batch.xattrs) {
    const std::string key = key_of(number(change.inode), std::string_view(change.name));
    const auto status = change.value ? rows.Put(family(kXattrs), key, *change.value)
                                     : rows.Delete(family(kXattrs), key);
    SPILLFS_TRY(result_of(status, "change an xattr"));
  }
  return {};
}

Result<> RocksdbIndex::add_dentry(Overlay& overlay, const Batch::DentryChange& change) {
  const Slot slot = SPILLFS_TRY(locate(overlay, change.parent, change.name));
  if (!change.target) return slot.found ? drop_dentry(overlay, change.parent, slot) : Result<>{};
  if (slot.cookie == 0) return fail(ENOSPC, "too many names with one hash in a directory");
  for (std::uint64_t bucket : slot.found ? std::vector<std::uint64_t>() : slot.passed) {
    const std::uint64_t beyond = SPILLFS_TRY(names_beyond(overlay, change.parent, bucket));
    overlay[signpost_key(change.parent, bucket)] = encode_signpost(beyond + 1);
  }
  overlay[key_of(number(change.parent), slot.cookie)] = encode(Dentry{.cookie = slot.cookie,
                                                                      .inode = change.target->first,
                                                                      .type = change.target->second,
                                                                      .name = change.name});
  return {};
}

// The rows of a bucket have no gap, and all 256 stay while names are beyond it. So an empty name
// takes the place, and goes only with all those behind it.
Result<> RocksdbIndex::drop_dentry(Overlay& overlay, InodeId parent, const Slot& slot) {
  overlay[key_of(number(parent), slot.cookie)] = encode(Dentry{.cookie = slot.cookie, .name = {}});
  SPILLFS_TRY(drop_empty_rows(overlay, parent, slot.cookie));
  for (std::uint64_t bucket : slot.passed) {
    const std::uint64_t beyond = SPILLFS_TRY(names_beyond(overlay, parent, bucket));
    auto& signpost = overlay[signpost_key(parent, bucket)];
    if (beyond > 1) {
      signpost = encode_signpost(beyond - 1);
    } else {
      signpost = std::nullopt;
      SPILLFS_TRY(drop_empty_rows(overlay, parent, bucket + kMaxCollision));
    }
  }
  return {};
}

// The empty rows that end their bucket at `from`, if any.
Result<> RocksdbIndex::drop_empty_rows(Overlay& overlay, InodeId parent, std::uint64_t from) {
  const auto key = [&](std::uint64_t cookie) { return key_of(number(parent), cookie); };
  const std::uint64_t bucket = bucket_of(from);
  const bool kept = from == bucket + kMaxCollision
                        ? SPILLFS_TRY(names_beyond(overlay, parent, bucket)) != 0
                        : SPILLFS_TRY(dentry_row(overlay, key(from + 1))).has_value();
  if (kept) return {};
  for (std::uint64_t cookie = from; cookie >= bucket; --cookie) {
    const auto row = SPILLFS_TRY(dentry_row(overlay, key(cookie)));
    if (!row || !SPILLFS_TRY(decode_dentry(cookie, *row)).name.empty()) break;
    overlay[key(cookie)] = std::nullopt;
  }
  return {};
}

Result<> RocksdbIndex::add_segments(rocksdb::WriteBatch& rows, const Batch& batch) {
  const auto key_of_kind = [](SegmentKind kind, SegmentId id) {
    return key_of(static_cast<std::uint8_t>(kind), number(id));
  };
  for (SegmentId id : batch.erase_segments) {
    for (SegmentKind kind : {SegmentKind::kFused, SegmentKind::kPrivate}) {
      const auto status = rows.Delete(family(kSegments), key_of_kind(kind, id));
      SPILLFS_TRY(result_of(status, "erase a segment"));
    }
    for (Family of : {kSums, kRecords}) {
      SPILLFS_TRY(erase_range(rows, of, key_of(number(id)), key_of(number(id) + 1)));
    }
  }
  for (const Segment& segment : batch.put_segments) {
    const auto status =
        rows.Put(family(kSegments), key_of_kind(segment.kind, segment.id), encode(segment));
    SPILLFS_TRY(result_of(status, "put a segment"));
  }
  for (const auto& change : batch.segments) {  // only fused segments are counted
    const CounterRow counters{.first = change.bytes, .second = change.live};
    const auto status = rows.Merge(
        family(kSegments), key_of_kind(SegmentKind::kFused, change.segment), encode(counters));
    SPILLFS_TRY(result_of(status, "count a segment"));
  }
  for (const auto& change : batch.put_sums) {
    for (std::size_t at = 0; at < change.sums.size(); at += kSumsPerRow) {
      const std::size_t count = std::min<std::size_t>(kSumsPerRow, change.sums.size() - at);
      const std::uint64_t row = (change.first + at) / kSumsPerRow;
      const auto status = rows.Put(family(kSums), key_of(number(change.segment), row),
                                   encode(change.sums, at, count));
      SPILLFS_TRY(result_of(status, "put sums"));
    }
  }
  return {};
}

Result<> RocksdbIndex::add_queue(rocksdb::WriteBatch& rows, const Batch& batch) {
  for (const Record& record : batch.erase_records) {
    const std::string key = key_of(number(record.segment), record.offset);
    SPILLFS_TRY(result_of(rows.Delete(family(kRecords), key), "erase a record"));
  }
  for (const Record& record : batch.put_records) {
    const std::string key = key_of(number(record.segment), record.offset);
    const auto status = rows.Put(family(kRecords), key, encode(number(record.inode)));
    SPILLFS_TRY(result_of(status, "put a record"));
  }
  for (const QueueEntry& entry : batch.erase_queue) {
    const std::string key = key_of(static_cast<std::uint8_t>(entry.kind), entry.id);
    SPILLFS_TRY(result_of(rows.Delete(family(kReclaim), key), "erase a queue entry"));
  }
  for (const QueueEntry& entry : batch.put_queue) {
    const std::string key = key_of(static_cast<std::uint8_t>(entry.kind), entry.id);
    SPILLFS_TRY(result_of(rows.Put(family(kReclaim), key, {}), "put a queue entry"));
  }
  return {};
}

// Not SingleDelete: after it, a reply put twice could come back. Compaction keeps what deletes
// leave to a few flushes' worth, and only erase_all_replies() walks over it.
Result<> RocksdbIndex::add_replies(rocksdb::WriteBatch& rows, const Batch& batch) {
  for (RequestId request : batch.erase_replies) {
    const auto status = rows.Delete(family(kReplies), key_of(number(request)));
    SPILLFS_TRY(result_of(status, "erase a reply"));
  }
  if (!batch.put_reply) return {};
  const auto& [request, inode] = *batch.put_reply;
  const auto status = rows.Put(family(kReplies), key_of(number(request)), encode(number(inode)));
  return result_of(status, "put a reply");
}

Result<> RocksdbIndex::erase_all_replies() {
  rocksdb::WriteBatch rows;
  SPILLFS_TRY(erase_range(rows, kReplies, key_of(0), kBehindNumbers));
  return write(rows);
}

Result<> RocksdbIndex::add_totals(rocksdb::WriteBatch& rows, const Batch& batch) {
  if (batch.totals.charged != 0 || batch.totals.inodes != 0) {
    const CounterRow counters{.first = batch.totals.charged, .second = batch.totals.inodes};
    SPILLFS_TRY(result_of(rows.Merge(family(kMeta), kTotalsKey, encode(counters)), "add totals"));
  }
  for (const UserTotal& user : batch.users) {
    if (user.charged == 0 && user.metadata == 0) continue;
    const CounterRow counters{.first = user.charged, .second = user.metadata};
    const auto status = rows.Merge(family(kMeta), user_key(user.uid), encode(counters));
    SPILLFS_TRY(result_of(status, "add a user's total"));
  }
  return {};
}

}  // namespace spillfs::index
