// SPDX-License-Identifier: Apache-2.0
// The words every layer shares: who an inode is, which segment, where its sealed bytes are.
#pragma once

#include <compare>
#include <cstdint>

namespace spillfs {

// A file, directory, symlink… of the mount. Persistent, never reused; it is the FUSE node id.
enum class InodeId : std::uint64_t {};
inline constexpr InodeId kRootInode{1};

// A backing file in a data directory. Never reused.
enum class SegmentId : std::uint64_t {};
inline constexpr SegmentId kNoSegment{0};

// The position of a data directory in store.json.
enum class DirectoryId : std::uint16_t {};

// The kernel's number of a request; the same when it is sent again. Unique for the life of a mount.
enum class RequestId : std::uint64_t {};
inline constexpr RequestId kNoRequest{0};

constexpr std::uint64_t number(InodeId id) { return static_cast<std::uint64_t>(id); }
constexpr std::uint64_t number(SegmentId id) { return static_cast<std::uint64_t>(id); }
constexpr std::uint64_t number(RequestId id) { return static_cast<std::uint64_t>(id); }
constexpr std::uint16_t number(DirectoryId id) { return static_cast<std::uint16_t>(id); }

enum class SegmentKind : std::uint8_t {
  kFused = 1,    // append-only, shared, holds records of many small files
  kPrivate = 2,  // belongs to one inode; its bytes are exactly the file's bytes
};

enum class Placement : std::uint8_t { kNowhere = 0, kFused = 1, kPrivate = 2 };

// Where an inode's sealed bytes are. All offsets and lengths in bytes from the segment's start.
//   kNowhere: every other field is zero.
//   kFused:   the record is [record_offset, +record_length), the file's bytes are
//             [data_offset, +length) inside it.
//   kPrivate: the file's bytes are [0, +length).
struct Location {
  Placement placement = Placement::kNowhere;
  DirectoryId directory{};
  SegmentId segment = kNoSegment;
  std::uint64_t record_offset = 0;
  std::uint64_t record_length = 0;
  std::uint64_t data_offset = 0;
  std::uint64_t length = 0;

  friend bool operator==(const Location&, const Location&) = default;
};

}  // namespace spillfs
