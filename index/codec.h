// SPDX-License-Identifier: Apache-2.0
// The index's keys and values as bytes (docs/FORMAT.md). Keys are big-endian, so that they sort as
// their numbers do; values are little-endian. Pure functions; a row that cannot be decoded is EIO.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/index.h"
#include "index/name_hash.h"

namespace spillfs::index {

inline constexpr std::uint8_t kRowVersion = 1;
// 1: without sealed_in and metadata; 2: without metadata
inline constexpr std::uint8_t kInodeRowVersion = 3;
// Rows of `meta`.
inline constexpr const char* kSyncMarkKey = "sync mark";
inline constexpr const char* kScrubMarkKey = "scrub mark";
inline constexpr const char* kTotalsKey = "totals";
inline constexpr const char* kBootKey = "boot";
inline constexpr const char* kSeedKey = "seed";  // of an index of the first format
inline constexpr const char* kNameKeyKey = "name key";
inline constexpr std::uint64_t kMaxCollision = 255;  // of names in one bucket

// The cookie of the first name with this hash: 55 bits of it, never 0, and no collision yet.
std::uint64_t first_cookie(std::uint64_t hash);
// The bucket that a cookie is in, by its first cookie.
constexpr std::uint64_t bucket_of(std::uint64_t cookie) { return cookie & ~kMaxCollision; }
constexpr std::uint64_t first_number(Counter counter) { return counter == Counter::kInode ? 2 : 1; }

std::string key_of(std::uint64_t first);
std::string key_of(std::uint64_t first, std::uint64_t second);
std::string key_of(std::uint8_t first, std::uint64_t second);
std::string key_of(std::uint64_t first, std::string_view second);
// Rows of `meta`: "user <uid>", all of them in [kFirstUserKey, kBehindUserKeys).
inline constexpr const char* kFirstUserKey = "user ";
inline constexpr const char* kBehindUserKeys = "user!";
std::string user_key(std::uint32_t uid);
Result<std::uint32_t> user_in(std::string_view key);
// Where a full bucket says that more of its names are in those of later turns; sorts behind its
// last cookie. The row is one of a name that is empty, and its inode is how many there are.
std::string signpost_key(InodeId directory, std::uint64_t bucket);
// The big-endian number at `offset` of a key.
Result<std::uint64_t> number_in(std::string_view key, std::size_t offset);

// The fixed part of an inode's value; its text follows.
struct InodeRow {
  std::uint8_t version;
  std::uint8_t flags;  // 1: sums_valid, 2: has_xattrs
  std::uint8_t placement;
  std::uint8_t zero;
  std::uint32_t mode;
  std::uint32_t links;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t directory;  // of the location
  std::uint64_t device;
  std::uint64_t size;
  std::uint64_t charged;
  std::int64_t accessed, modified, changed, born;  // seconds
  std::uint32_t accessed_ns, modified_ns, changed_ns, born_ns;
  std::uint64_t segment;
  std::uint64_t record_offset;
  std::uint64_t record_length;
  std::uint64_t data_offset;
  std::uint64_t length;
  std::uint64_t parent;
  std::uint64_t entries;
  std::uint64_t sealed_in;
  std::uint64_t metadata;
};
static_assert(sizeof(InodeRow) == 168);
static_assert(offsetof(InodeRow, mode) == 4);
static_assert(offsetof(InodeRow, directory) == 20);
static_assert(offsetof(InodeRow, device) == 24);
static_assert(offsetof(InodeRow, charged) == 40);
static_assert(offsetof(InodeRow, accessed) == 48);
static_assert(offsetof(InodeRow, accessed_ns) == 80);
static_assert(offsetof(InodeRow, segment) == 96);
static_assert(offsetof(InodeRow, length) == 128);
static_assert(offsetof(InodeRow, parent) == 136);
static_assert(offsetof(InodeRow, entries) == 144);
static_assert(offsetof(InodeRow, sealed_in) == 152);
static_assert(offsetof(InodeRow, metadata) == 160);

// A name's value; the name follows. An empty name keeps the place of a removed one in a bucket.
struct DentryRow {
  std::uint64_t inode;
  std::uint32_t type;
  std::uint32_t version;
};
static_assert(sizeof(DentryRow) == 16);
static_assert(offsetof(DentryRow, type) == 8);
static_assert(offsetof(DentryRow, version) == 12);

// How names are hashed.
struct NameKeyRow {
  std::array<std::byte, 16> key;
  std::uint64_t first;
};
static_assert(sizeof(NameKeyRow) == 24);
static_assert(offsetof(NameKeyRow, first) == 16);

// Two numbers that are added to, by a merge: bytes and live of a segment, charged and inodes of the
// store, charged and metadata of a user.
struct CounterRow {
  std::int64_t first;
  std::int64_t second;
};
static_assert(sizeof(CounterRow) == 16);
static_assert(offsetof(CounterRow, second) == 8);

struct SegmentRow {
  std::uint8_t version;
  std::uint8_t kind;
  std::uint16_t directory;
  std::uint32_t zero;
  std::uint64_t inode;
  CounterRow bytes_and_live;
};
static_assert(sizeof(SegmentRow) == 32);
static_assert(offsetof(SegmentRow, directory) == 2);
static_assert(offsetof(SegmentRow, inode) == 8);
static_assert(offsetof(SegmentRow, bytes_and_live) == 16);

std::string encode(const Inode& inode);
Result<Inode> decode_inode(InodeId id, std::string_view value);
std::string encode(const Dentry& dentry);
Result<Dentry> decode_dentry(std::uint64_t cookie, std::string_view value);
std::string encode(const Segment& segment);
Result<Segment> decode_segment(SegmentId id, std::string_view value);
std::string encode(const std::vector<std::uint64_t>& sums, std::size_t first, std::size_t count);
Result<std::vector<std::uint64_t>> decode_sums(std::string_view value);
std::string encode(const NameKey& key);
Result<NameKey> decode_name_key(std::string_view value);
std::string encode(CounterRow counters);
Result<CounterRow> decode_counters(std::string_view value);
std::string encode(std::uint64_t number);
Result<std::uint64_t> decode_number(std::string_view value);
std::string encode(const SyncMark& mark);
Result<SyncMark> decode_sync_mark(std::string_view value);
// What the mark says of the boot beyond its id, in a row of its own: earlier versions keep the
// mark's as it was. It counts for the id that is in it.
std::string encode_boot(const SyncMark& mark);
Result<> decode_boot(std::string_view value, SyncMark& mark);

// Adds the counters of `operand` to those at the end of `value`; false, and nothing changed, when
// either has none or a sum does not fit.
bool add_counters(std::string& value, std::string_view operand);

}  // namespace spillfs::index
