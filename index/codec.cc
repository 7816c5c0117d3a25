// SPDX-License-Identifier: Apache-2.0
#include "index/codec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>

#include "storage/base/bytes.h"

namespace spillfs::index {
namespace {

constexpr std::uint8_t kSumsValid = 1;
constexpr std::uint8_t kHasXattrs = 2;
constexpr std::uint8_t kFlags = kSumsValid | kHasXattrs;

void put_big_endian(std::string& to, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) to.push_back(static_cast<char>(value >> shift));
}

template <class Row>
std::string text_of(const Row& row) {
  return std::string(as_text(bytes_of(row)));
}

// Bytes before the text; rows of earlier versions end before what they do not have.
Result<std::size_t> fixed_part_of_inode(std::string_view value) {
  const auto version = value.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(value[0]);
  constexpr std::array<std::size_t, kInodeRowVersion> kFixed{
      offsetof(InodeRow, sealed_in), offsetof(InodeRow, metadata), sizeof(InodeRow)};
  if (value.empty()) return fail(EIO, "inode row cut short");
  if (version == 0 || version > kInodeRowVersion) {
    return fail(EIO, "inode row of an unknown version");
  }
  const std::size_t fixed = kFixed.at(version - 1U);
  if (value.size() < fixed) return fail(EIO, "inode row cut short");
  return fixed;
}

std::string text_of_epoch(Epoch epoch) { return encode(number(epoch)); }

}  // namespace

std::uint64_t first_cookie(std::uint64_t hash) {
  constexpr std::uint64_t kHashMask = (std::uint64_t{1} << 55) - 1;
  const std::uint64_t kept = hash & kHashMask;
  return (kept == 0 ? 1 : kept) << 8;
}

std::string key_of(std::uint64_t first) {
  std::string key;
  put_big_endian(key, first);
  return key;
}

std::string key_of(std::uint64_t first, std::uint64_t second) {
  std::string key = key_of(first);
  put_big_endian(key, second);
  return key;
}

std::string key_of(std::uint8_t first, std::uint64_t second) {
  std::string key(1, static_cast<char>(first));
  put_big_endian(key, second);
  return key;
}

std::string key_of(std::uint64_t first, std::string_view second) {
  return key_of(first).append(second);
}

std::string signpost_key(InodeId directory, std::uint64_t bucket) {
  return key_of(number(directory), bucket + kMaxCollision).append(1, '\x01');
}

std::string user_key(std::uint32_t uid) { return kFirstUserKey + std::to_string(uid); }

Result<std::uint32_t> user_in(std::string_view key) {
  key.remove_prefix(std::min(key.size(), std::string_view(kFirstUserKey).size()));
  std::uint32_t uid = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), uid);
  if (error != std::errc() || end != key.data() + key.size()) return fail(EIO, "not a user's key");
  return uid;
}

Result<std::uint64_t> number_in(std::string_view key, std::size_t offset) {
  if (key.size() < offset + sizeof(std::uint64_t)) return fail(EIO, "index key cut short");
  std::uint64_t value = 0;
  for (char c : key.substr(offset, sizeof(value)))
    value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

std::string encode(const Inode& inode) {
  const Location& location = inode.location;
  const auto flags = static_cast<std::uint8_t>((inode.sums_valid ? kSumsValid : 0) |
                                               (inode.has_xattrs ? kHasXattrs : 0));
  const InodeRow row{.version = kInodeRowVersion,
                     .flags = flags,
                     .placement = static_cast<std::uint8_t>(location.placement),
                     .zero = 0,
                     .mode = inode.mode,
                     .links = inode.links,
                     .uid = inode.uid,
                     .gid = inode.gid,
                     .directory = number(location.directory),
                     .device = inode.device,
                     .size = inode.size,
                     .charged = inode.charged,
                     .accessed = inode.accessed.seconds,
                     .modified = inode.modified.seconds,
                     .changed = inode.changed.seconds,
                     .born = inode.born.seconds,
                     .accessed_ns = inode.accessed.nanoseconds,
                     .modified_ns = inode.modified.nanoseconds,
                     .changed_ns = inode.changed.nanoseconds,
                     .born_ns = inode.born.nanoseconds,
                     .segment = number(location.segment),
                     .record_offset = location.record_offset,
                     .record_length = location.record_length,
                     .data_offset = location.data_offset,
                     .length = location.length,
                     .parent = number(inode.parent),
                     .entries = inode.entries,
                     .sealed_in = number(inode.sealed_in),
                     .metadata = inode.metadata};
  return text_of(row) + inode.text;
}

Result<Inode> decode_inode(InodeId id, std::string_view value) {
  const std::size_t fixed = SPILLFS_TRY(fixed_part_of_inode(value));
  InodeRow row{};
  std::memcpy(&row, value.data(), fixed);
  if (row.placement > static_cast<std::uint8_t>(Placement::kPrivate)) {
    return fail(EIO, "inode row with an unknown placement");
  }
  if ((row.flags & ~kFlags) != 0) return fail(EIO, "inode row with unknown flags");
  if (row.zero != 0 || row.directory > std::numeric_limits<std::uint16_t>::max()) {
    return fail(EIO, "inode row with an impossible number");
  }
  return Inode{.id = id,
               .mode = row.mode,
               .links = row.links,
               .uid = row.uid,
               .gid = row.gid,
               .device = row.device,
               .size = row.size,
               .charged = row.charged,
               .metadata = row.metadata,
               .accessed = {row.accessed, row.accessed_ns},
               .modified = {row.modified, row.modified_ns},
               .changed = {row.changed, row.changed_ns},
               .born = {row.born, row.born_ns},
               .location = {.placement = static_cast<Placement>(row.placement),
                            .directory = DirectoryId{static_cast<std::uint16_t>(row.directory)},
                            .segment = SegmentId{row.segment},
                            .record_offset = row.record_offset,
                            .record_length = row.record_length,
                            .data_offset = row.data_offset,
                            .length = row.length},
               .sums_valid = (row.flags & kSumsValid) != 0,
               .has_xattrs = (row.flags & kHasXattrs) != 0,
               .sealed_in = Epoch{row.sealed_in},
               .parent = InodeId{row.parent},
               .entries = row.entries,
               .text = std::string(value.substr(fixed))};
}

std::string encode(const Dentry& dentry) {
  const DentryRow row{.inode = number(dentry.inode), .type = dentry.type, .version = kRowVersion};
  return text_of(row) + dentry.name;
}

Result<Dentry> decode_dentry(std::uint64_t cookie, std::string_view value) {
  if (value.size() < sizeof(DentryRow)) return fail(EIO, "name row cut short");
  const auto row = load<DentryRow>(as_bytes(value));
  if (row.version != kRowVersion) return fail(EIO, "name row of an unknown version");
  return Dentry{.cookie = cookie,
                .inode = InodeId{row.inode},
                .type = row.type,
                .name = std::string(value.substr(sizeof(DentryRow)))};
}

std::string encode(const Segment& segment) {
  const SegmentRow row{.version = kRowVersion,
                       .kind = static_cast<std::uint8_t>(segment.kind),
                       .directory = number(segment.directory),
                       .zero = 0,
                       .inode = number(segment.inode),
                       .bytes_and_live = {.first = static_cast<std::int64_t>(segment.bytes),
                                          .second = static_cast<std::int64_t>(segment.live)}};
  return text_of(row);
}

Result<Segment> decode_segment(SegmentId id, std::string_view value) {
  if (value.size() != sizeof(SegmentRow)) return fail(EIO, "segment row of the wrong length");
  const auto row = load<SegmentRow>(as_bytes(value));
  if (row.version != kRowVersion) return fail(EIO, "segment row of an unknown version");
  if (row.kind != static_cast<std::uint8_t>(SegmentKind::kFused) &&
      row.kind != static_cast<std::uint8_t>(SegmentKind::kPrivate)) {
    return fail(EIO, "segment row of an unknown kind");
  }
  if (row.zero != 0) return fail(EIO, "segment row with an impossible number");
  return Segment{.id = id,
                 .kind = static_cast<SegmentKind>(row.kind),
                 .directory = DirectoryId{row.directory},
                 .inode = InodeId{row.inode},
                 .bytes = static_cast<std::uint64_t>(row.bytes_and_live.first),
                 .live = static_cast<std::uint64_t>(row.bytes_and_live.second)};
}

std::string encode(const std::vector<std::uint64_t>& sums, std::size_t first, std::size_t count) {
  return std::string(as_text(std::as_bytes(std::span(sums).subspan(first, count))));
}

Result<std::vector<std::uint64_t>> decode_sums(std::string_view value) {
  if (value.size() % sizeof(std::uint64_t) != 0) return fail(EIO, "sums row of the wrong length");
  std::vector<std::uint64_t> sums;
  for (; !value.empty(); value.remove_prefix(sizeof(std::uint64_t))) {
    sums.push_back(load<std::uint64_t>(as_bytes(value)));
  }
  return sums;
}

std::string encode(const NameKey& key) {
  return text_of(NameKeyRow{.key = key.key, .first = number(key.first)});
}

Result<NameKey> decode_name_key(std::string_view value) {
  if (value.size() != sizeof(NameKeyRow)) return fail(EIO, "name key of the wrong length");
  const auto row = load<NameKeyRow>(as_bytes(value));
  return NameKey{.key = row.key, .first = InodeId{row.first}};
}

std::string encode(CounterRow counters) { return text_of(counters); }

Result<CounterRow> decode_counters(std::string_view value) {
  if (value.size() != sizeof(CounterRow)) return fail(EIO, "counters of the wrong length");
  return load<CounterRow>(as_bytes(value));
}

std::string encode(std::uint64_t number) { return text_of(number); }

Result<std::uint64_t> decode_number(std::string_view value) {
  if (value.size() != sizeof(std::uint64_t)) return fail(EIO, "number of the wrong length");
  return load<std::uint64_t>(as_bytes(value));
}

// epoch, synced, the number of ranges, each range's ends; then the boot id.
std::string encode(const SyncMark& mark) {
  std::string value =
      text_of_epoch(mark.epoch) + text_of_epoch(mark.synced) + encode(mark.doubtful.size());
  for (const SyncMark::Range& range : mark.doubtful) {
    value += text_of_epoch(range.first) + text_of_epoch(range.last);
  }
  return value + mark.boot;
}

Result<SyncMark> decode_sync_mark(std::string_view value) {
  const auto take = [&value]() -> Result<std::uint64_t> {
    const auto taken = SPILLFS_TRY(decode_number(value.substr(0, sizeof(std::uint64_t))));
    value.remove_prefix(sizeof(std::uint64_t));
    return taken;
  };
  SyncMark mark;
  mark.epoch = Epoch{SPILLFS_TRY(take())};
  mark.synced = Epoch{SPILLFS_TRY(take())};
  for (std::uint64_t left = SPILLFS_TRY(take()); left > 0; --left) {
    const Epoch first{SPILLFS_TRY(take())};
    mark.doubtful.push_back({.first = first, .last = Epoch{SPILLFS_TRY(take())}});
  }
  mark.boot = value;
  return mark;
}

// certain, booted, uptime; then the boot id.
std::string encode_boot(const SyncMark& mark) {
  return encode(std::uint64_t{mark.certain ? 1U : 0U}) +
         encode(static_cast<std::uint64_t>(mark.clock.booted)) +
         encode(static_cast<std::uint64_t>(mark.clock.uptime)) + mark.boot;
}

Result<> decode_boot(std::string_view value, SyncMark& mark) {
  constexpr std::size_t kNumber = sizeof(std::uint64_t);
  if (value.size() < 3 * kNumber) return fail(EIO, "boot row of the wrong length");
  if (value.substr(3 * kNumber) != mark.boot) return {};  // an earlier version has put the mark
  mark.certain = SPILLFS_TRY(decode_number(value.substr(0, kNumber))) == 1;
  const auto signed_at = [&](std::size_t at) -> Result<std::int64_t> {
    return static_cast<std::int64_t>(SPILLFS_TRY(decode_number(value.substr(at, kNumber))));
  };
  mark.clock.booted = SPILLFS_TRY(signed_at(kNumber));
  mark.clock.uptime = SPILLFS_TRY(signed_at(2 * kNumber));
  return {};
}

bool add_counters(std::string& value, std::string_view operand) {
  if (value.size() < sizeof(CounterRow) || operand.size() != sizeof(CounterRow)) return false;
  const std::size_t at = value.size() - sizeof(CounterRow);
  auto sum = load<CounterRow>(as_bytes(value).subspan(at));
  const auto more = load<CounterRow>(as_bytes(operand));
  if (__builtin_add_overflow(sum.first, more.first, &sum.first) ||
      __builtin_add_overflow(sum.second, more.second, &sum.second)) {
    return false;
  }
  value.replace(at, sizeof(CounterRow), text_of(sum));
  return true;
}

}  // namespace spillfs::index
