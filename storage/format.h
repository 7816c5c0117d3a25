// SPDX-License-Identifier: Apache-2.0
// The bytes of a fused segment and of a private segment's identity, as docs/FORMAT.md describes
// them. Pure functions: no I/O, callable from any thread. What cannot be decoded is EIO, with a
// context that names what is wrong.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/base/ids.h"
#include "storage/base/result.h"

namespace spillfs::storage {

using StoreId = std::array<std::byte, 16>;  // the store's uuid

inline constexpr std::uint64_t kSuperblockSize = 4096;  // bytes; the first record starts here
inline constexpr std::uint64_t kRecordAlignment = 8;
inline constexpr std::uint32_t kFormatVersion = 1;

// The first 4 KiB of a fused segment.
struct Superblock {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t crc;  // crc32c of all 4 KiB, this field zero
  StoreId store;
  std::uint64_t segment;
  std::array<std::byte, 4056> zero;
};
static_assert(sizeof(Superblock) == kSuperblockSize);
static_assert(offsetof(Superblock, magic) == 0);
static_assert(offsetof(Superblock, version) == 8);
static_assert(offsetof(Superblock, crc) == 12);
static_assert(offsetof(Superblock, store) == 16);
static_assert(offsetof(Superblock, segment) == 32);
static_assert(offsetof(Superblock, zero) == 40);

// Starts every record, at a multiple of 8. Then: path, sums, zeros, Ray's record, zeros to 8.
struct RecordHeader {
  std::array<char, 8> magic;
  std::uint32_t crc;            // crc32c of all bytes before the buffer, this field zero
  std::uint32_t header_length;  // bytes from the magic to Ray's record
  std::uint64_t sequence;
  std::uint64_t inode;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t path_length;
  std::uint32_t sum_count;       // data_length / 1 MiB, rounded up
  std::uint32_t padding_length;  // zeros before Ray's record, so that the buffer is 8-aligned
  std::uint64_t owner_address_length;
  std::uint64_t metadata_length;
  std::uint64_t data_length;
};
static_assert(sizeof(RecordHeader) == 80);
static_assert(offsetof(RecordHeader, magic) == 0);
static_assert(offsetof(RecordHeader, crc) == 8);
static_assert(offsetof(RecordHeader, header_length) == 12);
static_assert(offsetof(RecordHeader, sequence) == 16);
static_assert(offsetof(RecordHeader, inode) == 24);
static_assert(offsetof(RecordHeader, mode) == 32);
static_assert(offsetof(RecordHeader, uid) == 36);
static_assert(offsetof(RecordHeader, gid) == 40);
static_assert(offsetof(RecordHeader, path_length) == 44);
static_assert(offsetof(RecordHeader, sum_count) == 48);
static_assert(offsetof(RecordHeader, padding_length) == 52);
static_assert(offsetof(RecordHeader, owner_address_length) == 56);
static_assert(offsetof(RecordHeader, metadata_length) == 64);
static_assert(offsetof(RecordHeader, data_length) == 72);

// Ray's three lengths, the start of Ray's record.
struct RayHeader {
  std::uint64_t owner_address_length;
  std::uint64_t metadata_length;
  std::uint64_t data_length;
};
static_assert(sizeof(RayHeader) == 24);
static_assert(offsetof(RayHeader, owner_address_length) == 0);
static_assert(offsetof(RayHeader, metadata_length) == 8);
static_assert(offsetof(RayHeader, data_length) == 16);

// What a record says about the file whose bytes it holds.
struct RecordInfo {
  std::uint64_t sequence = 0;  // grows with every seal of the store
  InodeId inode{};
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string path;  // in the mount, at the seal; at most kMaxField bytes
  std::string owner_address;
  std::string metadata;
  std::uint64_t data_length = 0;    // bytes of the buffer
  std::vector<std::uint64_t> sums;  // XXH3 per kChunk of the buffer

  friend bool operator==(const RecordInfo&, const RecordInfo&) = default;
};

// Limits of a record, so that no length read from disk is trusted further than this.
inline constexpr std::uint64_t kMaxField = kMiB;        // path, owner address, metadata, each
inline constexpr std::uint64_t kMaxData = 4096 * kMiB;  // buffer

// Where the parts of a record are, in bytes from the record's start.
struct RecordLayout {
  std::uint64_t ray_offset = 0;   // Ray's record: [ray_offset, data_offset + data_length)
  std::uint64_t data_offset = 0;  // the buffer, a multiple of 8
  std::uint64_t length = 0;       // the whole record, a multiple of 8
};

// EINVAL when a field is beyond its limit or `sums` does not match `data_length`.
Result<RecordLayout> record_layout(const RecordInfo& info);

// Sets data_length and sums of `info` from the bytes to be stored.
void measure(RecordInfo& info, std::span<const Bytes> payload);

std::vector<std::byte> encode_superblock(const StoreId& store, SegmentId segment);
// At least kSuperblockSize bytes; the error says whether magic, version, crc, store or segment is
// not the one expected.
Result<> verify_superblock(Bytes bytes, const StoreId& store, SegmentId segment);

struct SuperblockInfo {
  StoreId store{};
  SegmentId segment = kNoSegment;
};
Result<SuperblockInfo> decode_superblock(Bytes bytes);

// Everything before the buffer: data_offset bytes. Errors as record_layout().
Result<std::vector<std::byte>> encode_record_prefix(const RecordInfo& info);

struct DecodedRecord {
  RecordInfo info;
  RecordLayout layout;
};

// How many bytes decode_record_header() needs, from the first sizeof(RecordHeader) bytes. Checks
// magic and limits, not the crc.
Result<std::uint64_t> record_prefix_length(Bytes bytes);
// `bytes` starts at the record and holds at least the prefix.
Result<DecodedRecord> decode_record_header(Bytes bytes);

// "6ba7b8109dad11d180b400c04fd430c8": 32 hexadecimal digits.
std::string hex(const StoreId& store);

// The value of a private segment's xattr user.spillfs.identity.
struct Identity {
  StoreId store{};
  InodeId inode{};
  std::uint64_t length = 0;  // at the last seal, bytes
  std::uint32_t mode = 0;    // then; 0 before the first seal
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string path;  // then; may be empty

  friend bool operator==(const Identity&, const Identity&) = default;
};
inline constexpr const char* kIdentityAttribute = "identity";

std::string encode_identity(const Identity& identity);
Result<Identity> decode_identity(std::string_view text);

}  // namespace spillfs::storage
