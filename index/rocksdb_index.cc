// SPDX-License-Identifier: Apache-2.0
// Opening, reading and numbers; the writing half is in rocksdb_commit.cc.
#include "index/rocksdb_index.h"

#include <fmt/format.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "index/codec.h"
#include "index/rocksdb_in_memory.h"
#include "index/rocksdb_options.h"

namespace spillfs::index {
namespace {

constexpr std::array kFamilyNames{"default", "inodes",  "dentries", "xattrs",  "segments",
                                  "sums",    "records", "reclaim",  "replies", "meta"};
constexpr std::size_t kNumber = sizeof(std::uint64_t);
constexpr std::uint64_t kLast = ~std::uint64_t{0};

// `value`, filled by what has been done, if that went well.
template <class T>
Result<T> after_doing(const Result<>& done, T& value) {
  if (!done) return tl::unexpected(done.error());
  return std::move(value);
}

// Null: the machine's own.
std::shared_ptr<rocksdb::Env> env_of(const RocksdbOptions& options) {
  if (options.changes == Changes::kToDisk) return options.env;
  return keep_changes_in_memory(options.env ? *options.env : *rocksdb::Env::Default());
}

std::string counter_key(Counter counter) {
  return fmt::format("counter {}", static_cast<unsigned>(counter));
}

}  // namespace

RocksdbIndex::RocksdbIndex(RocksdbOptions options, std::optional<TrustedDirectory> folder)
    : options_(std::move(options)), folder_(std::move(folder)), env_(env_of(options_)) {}

Result<std::unique_ptr<RocksdbIndex>> RocksdbIndex::open(const std::string& folder,
                                                         RocksdbOptions options) {
  return begin(std::unique_ptr<RocksdbIndex>(new RocksdbIndex(std::move(options))), folder);
}

Result<std::unique_ptr<RocksdbIndex>> RocksdbIndex::open(TrustedDirectory folder,
                                                         RocksdbOptions options) {
  const std::string path = folder.path_by_descriptor();
  return begin(
      std::unique_ptr<RocksdbIndex>(new RocksdbIndex(std::move(options), std::move(folder))), path);
}

Result<std::unique_ptr<RocksdbIndex>> RocksdbIndex::begin(std::unique_ptr<RocksdbIndex> index,
                                                          const std::string& folder) {
  auto opened = index->open_families(folder);
  const auto& no_space = index->options_.no_space;
  if (!opened && opened.error().code == ENOSPC && no_space && no_space()) {
    opened = index->open_families(folder);
  }
  SPILLFS_TRY(opened);
  SPILLFS_TRY(index->load_hash());
  return index;
}

// Of the index's owner alone.
Result<> RocksdbIndex::make_private(const std::string& folder) {
  std::error_code error;  // a missing folder RocksDB would log as an error before it makes it
  std::filesystem::create_directory(folder, error);
  if (error) return fail(error.value(), fmt::format("make {}: {}", folder, error.message()));
  const auto permissions = std::filesystem::status(folder, error).permissions();
  if (permissions != std::filesystem::perms::owner_all) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (error) spdlog::warn("others may read {}: {}", shown(folder), error.message());
  return {};
}

Result<> RocksdbIndex::open_families(const std::string& folder) {
  static_assert(kFamilyNames.size() == kFamilies);
  auto options = family_options(make_block_cache(options_.block_cache));
  if (options_.changes == Changes::kToDisk) {
    SPILLFS_TRY(make_private(folder));
  } else {
    options.disable_auto_compactions = true;  // they would put into memory what is on disk
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const char* name : kFamilyNames) descriptors.emplace_back(name, options);
  auto database = database_options(env_ ? *env_ : *rocksdb::Env::Default());
  database.listeners = {health_};
  rocksdb::DB* opened = nullptr;
  const auto status = rocksdb::DB::Open(database, folder, descriptors, &families_, &opened);
  if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
    return fail(EBUSY, "the index is in use: " + shown(status.ToString()));
  }
  if (!status.ok()) return failure_of(status, "open the index");
  db_.reset(opened);
  health_->watch(*db_, options_.resume_after);
  return {};
}

RocksdbIndex::~RocksdbIndex() {
  if (db_ == nullptr) return;
  health_->forget();
  for (auto* handle : families_) static_cast<void>(db_->DestroyColumnFamilyHandle(handle));
  static_cast<void>(db_->Close());
}

Result<> RocksdbIndex::load_hash() {
  const auto seed_row = SPILLFS_TRY(get(kMeta, kSeedKey));
  const auto key_row = SPILLFS_TRY(get(kMeta, kNameKeyKey));
  const std::uint64_t seed = seed_row ? SPILLFS_TRY(decode_number(*seed_row)) : 0;
  std::optional<NameKey> key;
  if (key_row) {
    key = SPILLFS_TRY(decode_name_key(*key_row));
  } else if (!seed_row) {
    key = SPILLFS_TRY(make_name_key(InodeId{1}));
  } else if (options_.names == Names::kKeyed) {
    const InodeId next{SPILLFS_TRY(reserve(Counter::kInode, 0))};
    key = SPILLFS_TRY(make_name_key(next));
  }
  hash_.emplace(key, seed, options_.hash);
  return {};
}

Result<NameKey> RocksdbIndex::make_name_key(InodeId first) {
  const NameKey key{.key = SPILLFS_TRY(random_sip_key()), .first = first};
  rocksdb::WriteBatch rows;
  SPILLFS_TRY(result_of(rows.Put(family(kMeta), kNameKeyKey, encode(key)), "put the name key"));
  SPILLFS_TRY(write(rows, "store the name key"));
  return key;
}

Result<std::optional<std::string>> RocksdbIndex::get(Family from, const std::string& key) {
  std::string value;
  const auto status = db_->Get({}, family(from), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure_of(status, fmt::format("read {}", kFamilyNames.at(from)));
  return value;
}

Result<> RocksdbIndex::scan(
    Family of, const std::string& from, const std::string& to,
    const std::function<Result<bool>(std::string_view, std::string_view)>& each) {
  const rocksdb::Slice end(to);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options, family(of)));
  for (at->Seek(from); at->Valid(); at->Next()) {
    const bool go_on = SPILLFS_TRY(each(at->key().ToStringView(), at->value().ToStringView()));
    if (!go_on) return {};
  }
  return result_of(at->status(), fmt::format("walk {}", kFamilyNames.at(of)));
}

Result<> RocksdbIndex::verify() { return result_of(db_->VerifyChecksum(), "verify the index"); }

Result<> RocksdbIndex::sync() {
  if (options_.changes == Changes::kToMemory) return {};  // nothing of it outlives the process
  return result_of(db_->SyncWAL(), "sync the index");
}

Result<Inode> RocksdbIndex::inode(InodeId id) {
  const auto row = SPILLFS_TRY(get(kInodes, key_of(number(id))));
  if (!row) return fail(ENOENT, "no such inode");
  return decode_inode(id, *row);
}

Result<std::optional<std::string>> RocksdbIndex::dentry_row(const Overlay& overlay,
                                                            const std::string& key) {
  if (const auto changed = overlay.find(key); changed != overlay.end()) return changed->second;
  return get(kDentries, key);
}

// A name may be behind any bucket on its way that is full and has a signpost; where it is new, it
// takes the first row that is free or empty.
Result<RocksdbIndex::Slot> RocksdbIndex::locate(const Overlay& overlay, InodeId parent,
                                                std::string_view name) {
  Slot slot;
  std::optional<std::pair<std::uint64_t, std::size_t>> empty;  // with the buckets before it
  for (unsigned turn = 0; turn < hash_->turns(); ++turn) {
    const std::uint64_t bucket = hash_->bucket(parent, name, turn);
    const bool ends = SPILLFS_TRY(search_bucket(overlay, parent, bucket, name, slot));
    if (slot.found) return slot;
    if (slot.cookie != 0 && !empty) empty.emplace(slot.cookie, slot.passed.size());
    if (ends || (empty && SPILLFS_TRY(names_beyond(overlay, parent, bucket)) == 0)) break;
    slot.cookie = 0;
    slot.passed.push_back(bucket);
  }
  if (empty) {
    slot.cookie = empty->first;
    slot.passed.resize(empty->second);
  }
  return slot;
}

Result<bool> RocksdbIndex::search_bucket(const Overlay& overlay, InodeId parent,
                                         std::uint64_t bucket, std::string_view name, Slot& slot) {
  for (std::uint64_t cookie = bucket; cookie <= bucket + kMaxCollision; ++cookie) {
    const auto row = SPILLFS_TRY(dentry_row(overlay, key_of(number(parent), cookie)));
    if (!row) {
      if (slot.cookie == 0) slot.cookie = cookie;
      return true;
    }
    Dentry dentry = SPILLFS_TRY(decode_dentry(cookie, *row));
    if (dentry.name == name) {
      slot.cookie = cookie;
      slot.found = true;
      slot.dentry = std::move(dentry);
      return true;
    }
    if (dentry.name.empty() && slot.cookie == 0) slot.cookie = cookie;
  }
  return false;
}

// How many names are in later turns because this bucket was full.
Result<std::uint64_t> RocksdbIndex::names_beyond(const Overlay& overlay, InodeId parent,
                                                 std::uint64_t bucket) {
  const auto row = SPILLFS_TRY(dentry_row(overlay, signpost_key(parent, bucket)));
  if (!row) return std::uint64_t{0};
  return number(SPILLFS_TRY(decode_dentry(bucket, *row)).inode);
}

Result<Dentry> RocksdbIndex::find(InodeId parent, std::string_view name) {
  Slot slot = SPILLFS_TRY(locate({}, parent, name));
  if (!slot.found) return fail(ENOENT, "no such name");
  return std::move(slot.dentry);
}

Result<std::vector<Dentry>> RocksdbIndex::list(InodeId parent, std::uint64_t after,
                                               std::size_t limit) {
  std::vector<Dentry> found;
  return after_doing(
      scan(kDentries, key_of(number(parent), after + 1), key_of(number(parent), kLast),
           [&](std::string_view key, std::string_view value) -> Result<bool> {
             const std::uint64_t cookie = SPILLFS_TRY(number_in(key, kNumber));
             Dentry dentry = SPILLFS_TRY(decode_dentry(cookie, value));
             if (!dentry.name.empty()) found.push_back(std::move(dentry));
             return found.size() < limit;
           }),
      found);
}

Result<std::string> RocksdbIndex::xattr(InodeId id, std::string_view name) {
  auto row = SPILLFS_TRY(get(kXattrs, key_of(number(id), name)));
  if (!row) return fail(ENODATA, "no such xattr");
  return *std::move(row);
}

Result<std::vector<std::string>> RocksdbIndex::xattr_names(InodeId id) {
  std::vector<std::string> names;
  return after_doing(scan(kXattrs, key_of(number(id)), key_of(number(id) + 1),
                          [&](std::string_view key, std::string_view) -> Result<bool> {
                            names.emplace_back(key.substr(kNumber));
                            return true;
                          }),
                     names);
}

Result<Segment> RocksdbIndex::segment(SegmentId id) {
  for (SegmentKind kind : {SegmentKind::kFused, SegmentKind::kPrivate}) {
    const auto key = key_of(static_cast<std::uint8_t>(kind), number(id));
    const auto row = SPILLFS_TRY(get(kSegments, key));
    if (row) return decode_segment(id, *row);
  }
  return fail(ENOENT, "no such segment");
}

Result<std::vector<Segment>> RocksdbIndex::segments(SegmentKind kind, SegmentId after,
                                                    std::size_t limit) {
  const auto prefix = static_cast<std::uint8_t>(kind);
  std::vector<Segment> found;
  return after_doing(scan(kSegments, key_of(prefix, number(after) + 1), key_of(prefix, kLast),
                          [&](std::string_view key, std::string_view value) -> Result<bool> {
                            const SegmentId id{SPILLFS_TRY(number_in(key, 1))};
                            found.push_back(SPILLFS_TRY(decode_segment(id, value)));
                            return found.size() < limit;
                          }),
                     found);
}

Result<std::vector<std::uint64_t>> RocksdbIndex::sums(SegmentId id, std::uint64_t first,
                                                      std::size_t count) {
  std::vector<std::uint64_t> found;
  while (found.size() < count) {
    const std::uint64_t chunk = first + found.size();
    const auto row = SPILLFS_TRY(get(kSums, key_of(number(id), chunk / kSumsPerRow)));
    if (!row) break;
    const auto sums = SPILLFS_TRY(decode_sums(*row));
    for (std::size_t i = chunk % kSumsPerRow; i < sums.size() && found.size() < count; ++i) {
      found.push_back(sums[i]);
    }
    if (sums.size() < kSumsPerRow) break;
  }
  return found;
}

Result<std::vector<Record>> RocksdbIndex::records(SegmentId segment, std::uint64_t from,
                                                  std::size_t limit) {
  std::vector<Record> found;
  return after_doing(scan(kRecords, key_of(number(segment), from), key_of(number(segment) + 1),
                          [&](std::string_view key, std::string_view value) -> Result<bool> {
                            const std::uint64_t offset = SPILLFS_TRY(number_in(key, kNumber));
                            const InodeId inode{SPILLFS_TRY(decode_number(value))};
                            found.push_back({.segment = segment, .offset = offset, .inode = inode});
                            return found.size() < limit;
                          }),
                     found);
}

Result<std::vector<QueueEntry>> RocksdbIndex::queue(QueueKind kind, std::uint64_t after,
                                                    std::size_t limit) {
  const auto prefix = static_cast<std::uint8_t>(kind);
  std::vector<QueueEntry> found;
  return after_doing(scan(kReclaim, key_of(prefix, after + 1), key_of(prefix, kLast),
                          [&](std::string_view key, std::string_view) -> Result<bool> {
                            const std::uint64_t id = SPILLFS_TRY(number_in(key, 1));
                            found.push_back({.kind = kind, .id = id});
                            return found.size() < limit;
                          }),
                     found);
}

Result<QueueEntry> RocksdbIndex::queued(QueueKind kind, std::uint64_t id) {
  const auto row = SPILLFS_TRY(get(kReclaim, key_of(static_cast<std::uint8_t>(kind), id)));
  if (!row) return fail(ENOENT, "not queued");
  return QueueEntry{.kind = kind, .id = id};
}

Result<Reply> RocksdbIndex::reply(RequestId request) {
  const auto row = SPILLFS_TRY(get(kReplies, key_of(number(request))));
  if (!row) return fail(ENOENT, "no such reply");
  return Reply{.request = request, .inode = InodeId{SPILLFS_TRY(decode_number(*row))}};
}

Result<Totals> RocksdbIndex::totals() {
  const auto row = SPILLFS_TRY(get(kMeta, kTotalsKey));
  if (!row) return Totals{};
  const CounterRow counters = SPILLFS_TRY(decode_counters(*row));
  return Totals{.charged = counters.first, .inodes = counters.second};
}

Result<std::vector<UserTotal>> RocksdbIndex::users() {
  std::vector<UserTotal> found;
  return after_doing(
      scan(kMeta, kFirstUserKey, kBehindUserKeys,
           [&](std::string_view key, std::string_view value) -> Result<bool> {
             const std::uint32_t uid = SPILLFS_TRY(user_in(key));
             const CounterRow counters = SPILLFS_TRY(decode_counters(value));
             found.push_back({.uid = uid, .charged = counters.first, .metadata = counters.second});
             return true;
           }),
      found);
}

Result<SyncMark> RocksdbIndex::sync_mark() {
  const auto row = SPILLFS_TRY(get(kMeta, kSyncMarkKey));
  if (!row) return SyncMark{};
  SyncMark mark = SPILLFS_TRY(decode_sync_mark(*row));
  if (const auto boot = SPILLFS_TRY(get(kMeta, kBootKey))) SPILLFS_TRY(decode_boot(*boot, mark));
  return mark;
}

Result<ScrubMark> RocksdbIndex::scrub_mark() {
  const auto row = SPILLFS_TRY(get(kMeta, kScrubMarkKey));
  if (!row) return ScrubMark{};
  const CounterRow seconds = SPILLFS_TRY(decode_counters(*row));
  return ScrubMark{.began = seconds.first, .compared_since = seconds.second};
}

Result<std::vector<Inode>> RocksdbIndex::inodes(InodeId after, std::size_t limit) {
  std::vector<Inode> found;
  return after_doing(scan(kInodes, key_of(number(after) + 1), key_of(kLast),
                          [&](std::string_view key, std::string_view value) -> Result<bool> {
                            const InodeId id{SPILLFS_TRY(number_in(key, 0))};
                            found.push_back(SPILLFS_TRY(decode_inode(id, value)));
                            return found.size() < limit;
                          }),
                     found);
}

Result<std::uint64_t> RocksdbIndex::reserve(Counter counter, std::uint64_t count) {
  MutexLock lock(counters_mutex_);
  const std::string key = counter_key(counter);
  const auto row = SPILLFS_TRY(get(kMeta, key));
  const std::uint64_t first = row ? SPILLFS_TRY(decode_number(*row)) : first_number(counter);
  rocksdb::WriteBatch rows;
  SPILLFS_TRY(result_of(rows.Put(family(kMeta), key, encode(first + count)), "count numbers"));
  SPILLFS_TRY(write(rows, "reserve numbers"));
  return first;
}

}  // namespace spillfs::index
