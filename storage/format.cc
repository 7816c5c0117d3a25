// SPDX-License-Identifier: Apache-2.0
#include "storage/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "storage/chunk_summer.h"

namespace spillfs::storage {
namespace {

constexpr std::array<char, 8> kSuperblockMagic{'S', 'P', 'I', 'L', 'L', 'S', 'E', 'G'};
constexpr std::array<char, 8> kRecordMagic{'S', 'P', 'I', 'L', 'L', 'R', 'E', 'C'};
constexpr std::string_view kIdentityMagic = "spillfs2";

void put(std::vector<std::byte>& to, Bytes bytes) {
  const std::size_t at = to.size();
  to.resize(at + bytes.size());
  if (!bytes.empty()) std::memcpy(to.data() + at, bytes.data(), bytes.size());
}

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The crc of `bytes` as it was before its own field, at `crc_offset`, was filled in.
std::uint32_t crc_without_itself(Bytes bytes, std::size_t crc_offset) {
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  std::fill_n(copy.begin() + static_cast<std::ptrdiff_t>(crc_offset), sizeof(std::uint32_t),
              std::byte{0});
  return crc32c(copy);
}

template <class Header>
void set_crc(std::vector<std::byte>& bytes) {
  const std::uint32_t crc = crc_without_itself(bytes, offsetof(Header, crc));
  const auto field = MutableBytes(bytes).subspan(offsetof(Header, crc), sizeof(crc));
  std::memcpy(field.data(), &crc, sizeof(crc));
}

// Bytes of the record between the magic and Ray's record, without padding.
std::uint64_t unpadded_header(std::uint64_t path_length, std::uint64_t sum_count) {
  return sizeof(RecordHeader) + path_length + sum_count * sizeof(std::uint64_t);
}

RecordLayout layout_of(const RecordHeader& header) {
  RecordLayout layout;
  layout.ray_offset = header.header_length;
  layout.data_offset =
      layout.ray_offset + sizeof(RayHeader) + header.owner_address_length + header.metadata_length;
  layout.length = round_up(layout.data_offset + header.data_length, kRecordAlignment);
  return layout;
}

Result<RecordHeader> header_for(const RecordInfo& info) {
  if (info.path.size() > kMaxField || info.owner_address.size() > kMaxField ||
      info.metadata.size() > kMaxField || info.data_length > kMaxData) {
    return fail(EINVAL, "a field of the record is too long");
  }
  if (info.sums.size() != chunk_count(info.data_length)) {
    return fail(EINVAL, "the sums do not match the length");
  }
  RecordHeader header{.magic = kRecordMagic,
                      .crc = 0,
                      .header_length = 0,
                      .sequence = info.sequence,
                      .inode = number(info.inode),
                      .mode = info.mode,
                      .uid = info.uid,
                      .gid = info.gid,
                      .path_length = static_cast<std::uint32_t>(info.path.size()),
                      .sum_count = static_cast<std::uint32_t>(info.sums.size()),
                      .padding_length = 0,
                      .owner_address_length = info.owner_address.size(),
                      .metadata_length = info.metadata.size(),
                      .data_length = info.data_length};
  const std::uint64_t before = unpadded_header(info.path.size(), info.sums.size());
  const std::uint64_t fields = sizeof(RayHeader) + info.owner_address.size() + info.metadata.size();
  header.padding_length =
      static_cast<std::uint32_t>(round_up(before + fields, kRecordAlignment) - before - fields);
  header.header_length = static_cast<std::uint32_t>(before + header.padding_length);
  return header;
}

// The header of a record as it is on disk: magic, limits and lengths agree with each other.
Result<RecordHeader> checked_header(Bytes bytes) {
  if (bytes.size() < sizeof(RecordHeader)) return fail(EIO, "record header cut short");
  const auto header = load<RecordHeader>(bytes);
  if (header.magic != kRecordMagic) return fail(EIO, "no record here (wrong magic)");
  const bool within = header.path_length <= kMaxField && header.owner_address_length <= kMaxField &&
                      header.metadata_length <= kMaxField && header.data_length <= kMaxData &&
                      header.padding_length < kRecordAlignment;
  if (!within) return fail(EIO, "record header with impossible lengths");
  const std::uint64_t expected =
      unpadded_header(header.path_length, header.sum_count) + header.padding_length;
  if (header.sum_count != chunk_count(header.data_length) || header.header_length != expected ||
      layout_of(header).data_offset % kRecordAlignment != 0) {
    return fail(EIO, "record header whose lengths contradict each other");
  }
  return header;
}

std::string take_text(Bytes& from, std::uint64_t length) {
  std::string text(as_text(from.first(length)));
  from = from.subspan(length);
  return text;
}

}  // namespace

Result<RecordLayout> record_layout(const RecordInfo& info) {
  return layout_of(SPILLFS_TRY(header_for(info)));
}

void measure(RecordInfo& info, std::span<const Bytes> payload) {
  ChunkSummer summer;
  info.data_length = 0;
  for (Bytes part : payload) {
    summer.update(part);
    info.data_length += part.size();
  }
  info.sums = summer.sums();
}

std::vector<std::byte> encode_superblock(const StoreId& store, SegmentId segment) {
  const Superblock block{.magic = kSuperblockMagic,
                         .version = kFormatVersion,
                         .crc = 0,
                         .store = store,
                         .segment = number(segment),
                         .zero = {}};
  std::vector<std::byte> bytes;
  put(bytes, bytes_of(block));
  set_crc<Superblock>(bytes);
  return bytes;
}

Result<SuperblockInfo> decode_superblock(Bytes bytes) {
  if (bytes.size() < kSuperblockSize) return fail(EIO, "superblock cut short");
  bytes = bytes.first(kSuperblockSize);
  const auto block = load<Superblock>(bytes);
  if (block.magic != kSuperblockMagic) return fail(EIO, "not a fused segment (wrong magic)");
  if (crc_without_itself(bytes, offsetof(Superblock, crc)) != block.crc) {
    return fail(EIO, "damaged superblock (crc32c mismatch)");
  }
  if (block.version != kFormatVersion) {
    return fail(EIO, fmt::format("segment of format version {}, this spillfs reads version {}",
                                 block.version, kFormatVersion));
  }
  if (!all_zero(block.zero)) return fail(EIO, "superblock with bytes where zeros should be");
  return SuperblockInfo{.store = block.store, .segment = SegmentId{block.segment}};
}

Result<> verify_superblock(Bytes bytes, const StoreId& store, SegmentId segment) {
  const SuperblockInfo found = SPILLFS_TRY(decode_superblock(bytes));
  if (found.store != store) {
    return fail(EIO,
                fmt::format("segment of another store ({}, not {})", hex(found.store), hex(store)));
  }
  if (found.segment != segment) {
    return fail(
        EIO, fmt::format("segment {} where {} should be", number(found.segment), number(segment)));
  }
  return {};
}

Result<std::vector<std::byte>> encode_record_prefix(const RecordInfo& info) {
  const RecordHeader header = SPILLFS_TRY(header_for(info));
  const RayHeader ray{.owner_address_length = header.owner_address_length,
                      .metadata_length = header.metadata_length,
                      .data_length = header.data_length};
  std::vector<std::byte> bytes;
  bytes.reserve(layout_of(header).data_offset);
  put(bytes, bytes_of(header));
  put(bytes, as_bytes(info.path));
  put(bytes, std::as_bytes(std::span(info.sums)));
  bytes.resize(header.header_length);
  put(bytes, bytes_of(ray));
  put(bytes, as_bytes(info.owner_address));
  put(bytes, as_bytes(info.metadata));
  set_crc<RecordHeader>(bytes);
  return bytes;
}

Result<std::uint64_t> record_prefix_length(Bytes bytes) {
  return layout_of(SPILLFS_TRY(checked_header(bytes))).data_offset;
}

Result<DecodedRecord> decode_record_header(Bytes bytes) {
  const RecordHeader header = SPILLFS_TRY(checked_header(bytes));
  const RecordLayout layout = layout_of(header);
  if (bytes.size() < layout.data_offset) return fail(EIO, "record cut short");
  bytes = bytes.first(layout.data_offset);
  if (crc_without_itself(bytes, offsetof(RecordHeader, crc)) != header.crc) {
    return fail(EIO, "damaged record header (crc32c mismatch)");
  }
  if (!all_zero(bytes.first(layout.ray_offset).last(header.padding_length))) {
    return fail(EIO, "record whose padding is not zero");
  }
  const auto ray = load<RayHeader>(bytes.subspan(layout.ray_offset));
  if (ray.owner_address_length != header.owner_address_length ||
      ray.metadata_length != header.metadata_length || ray.data_length != header.data_length) {
    return fail(EIO, "record whose two headers contradict each other");
  }
  RecordInfo info{.sequence = header.sequence,
                  .inode = InodeId{header.inode},
                  .mode = header.mode,
                  .uid = header.uid,
                  .gid = header.gid,
                  .path = {},
                  .owner_address = {},
                  .metadata = {},
                  .data_length = header.data_length,
                  .sums = std::vector<std::uint64_t>(header.sum_count)};
  Bytes rest = bytes.subspan(sizeof(RecordHeader));
  info.path = take_text(rest, header.path_length);
  for (std::uint64_t& sum : info.sums) {
    sum = load<std::uint64_t>(rest);
    rest = rest.subspan(sizeof(sum));
  }
  rest = bytes.subspan(layout.ray_offset + sizeof(RayHeader));
  info.owner_address = take_text(rest, header.owner_address_length);
  info.metadata = take_text(rest, header.metadata_length);
  return DecodedRecord{.info = std::move(info), .layout = layout};
}

std::string hex(const StoreId& store) {
  std::string text;
  for (std::byte byte : store) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

// "spillfs2 <store, hex> <inode> <length> <mode, octal> <uid> <gid> <path>"
std::string encode_identity(const Identity& identity) {
  return fmt::format("{} {} {} {} {:o} {} {} {}", kIdentityMagic, hex(identity.store),
                     number(identity.inode), identity.length, identity.mode, identity.uid,
                     identity.gid, identity.path);
}

namespace {

// The word up to the next blank, which is taken too.
Result<std::string_view> next_word(std::string_view& text) {
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return fail(EIO, "private segment's identity cut short");
  const std::string_view word = text.substr(0, blank);
  text.remove_prefix(blank + 1);
  return word;
}

// Before there was anything that reads it: without mode and owner.
constexpr std::string_view kFirstIdentityMagic = "spillfs1";

template <class Number>
Result<Number> parse_number(std::string_view word, int base) {
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc() || end != word.data() + word.size()) {
    return fail(EIO, "private segment's identity with a damaged number");
  }
  return value;
}

}  // namespace

Result<Identity> decode_identity(std::string_view text) {
  const std::string_view magic = SPILLFS_TRY(next_word(text));
  if (magic != kIdentityMagic && magic != kFirstIdentityMagic)
    return fail(EIO, "not a private segment's identity");
  const std::string_view store = SPILLFS_TRY(next_word(text));
  if (store.size() != 2 * sizeof(StoreId)) return fail(EIO, "identity with a damaged store id");
  Identity identity;
  for (std::size_t i = 0; i < identity.store.size(); ++i) {
    identity.store[i] =
        std::byte{SPILLFS_TRY(parse_number<std::uint8_t>(store.substr(2 * i, 2), 16))};
  }
  const std::string_view inode = SPILLFS_TRY(next_word(text));
  identity.inode = InodeId{SPILLFS_TRY(parse_number<std::uint64_t>(inode, 10))};
  const std::string_view length = SPILLFS_TRY(next_word(text));
  identity.length = SPILLFS_TRY(parse_number<std::uint64_t>(length, 10));
  if (magic == kIdentityMagic) {
    const std::string_view mode = SPILLFS_TRY(next_word(text));
    identity.mode = SPILLFS_TRY(parse_number<std::uint32_t>(mode, 8));
    const std::string_view uid = SPILLFS_TRY(next_word(text));
    identity.uid = SPILLFS_TRY(parse_number<std::uint32_t>(uid, 10));
    const std::string_view gid = SPILLFS_TRY(next_word(text));
    identity.gid = SPILLFS_TRY(parse_number<std::uint32_t>(gid, 10));
  }
  identity.path = text;
  return identity;
}

}  // namespace spillfs::storage
