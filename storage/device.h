// SPDX-License-Identifier: Apache-2.0
// The seam all segment I/O goes through. A Device is one data directory; a File is one backing file
// in it. FileDevice is a real directory, MemoryDevice lives in memory, FaultyDevice wraps another
// and fails on demand. One conformance suite runs on all of them.
//
// Threads: every method may be called from any thread at any time; writes of overlapping ranges are
// the caller's to order. Errors are errnos; a failed call names the file in its context.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::storage {

enum class AllocateMode : std::uint8_t {
  kExtend,     // fallocate(0): blocks for the range, the size grows to cover it
  kKeepSize,   // blocks for the range, the size stays
  kPunchHole,  // gives the range's blocks back; it reads as zeros, the size stays
  kZero,       // the range reads as zeros, the size grows to cover it
  kZeroKeepSize,
};

// What a store is opened for. kReadOnly: nothing in it is made, changed or removed.
enum class Access : std::uint8_t { kReadWrite, kReadOnly };

enum class SeekKind : std::uint8_t { kData, kHole };

inline constexpr std::uint64_t kDirectAlignment = 4096;  // what every disk is content with

struct FileStatus {
  std::uint64_t size = 0;       // bytes
  std::uint64_t allocated = 0;  // bytes of blocks it occupies
  timespec modified{};
};

// Bytes of the file system a device lies on.
struct DeviceSpace {
  std::uint64_t total = 0;
  std::uint64_t free = 0;      // what an ordinary user may still take, less `reserved`
  std::uint64_t reserved = 0;  // free, and left so for others
};

// One backing file, open for reading and writing until the last reference goes; it stays readable
// after remove().
class File {
 public:
  virtual ~File() = default;

  // Fills `into` from `offset`; fewer bytes only at the end of the file.
  virtual Result<std::size_t> read(MutableBytes into, std::uint64_t offset) = 0;
  // As read(), from the disk where the file system can, whatever the page cache has; what is cached
  // stays so. The memory, its length and `offset` are multiples of kDirectAlignment.
  virtual Result<std::size_t> read_direct(MutableBytes into, std::uint64_t offset) {
    return read(into, offset);
  }
  // Writes all of `from`, or fails; after a failure any part of the range may have changed.
  virtual Result<> write(Bytes from, std::uint64_t offset) = 0;
  // As write(), of `parts` one after the other.
  virtual Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) = 0;
  // As write_parts(), past the page cache where the file system can. The parts,
  // their lengths and `offset` are multiples of kDirectAlignment.
  virtual Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) = 0;
  // Writes the range's dirty pages to disk and waits for it; they stay cached. Says nothing about
  // whether they survive power loss.
  virtual Result<> write_back(std::uint64_t offset, std::uint64_t length) = 0;
  // Blocks behind `size` are given back, also where the size stays.
  virtual Result<> resize(std::uint64_t size) = 0;
  virtual Result<> allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length) = 0;
  // As lseek(2) SEEK_DATA and SEEK_HOLE; ENXIO past the end or when there is no more data.
  virtual Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset) = 0;
  virtual Result<FileStatus> status() = 0;
  // Data, and the metadata needed to read it back, survive power loss.
  virtual Result<> sync() = 0;
  virtual Result<> set_attribute(const std::string& name, std::string_view value) = 0;
  virtual Result<std::string> attribute(const std::string& name) = 0;  // ENODATA when not set
  // The descriptor, or -1 where there is none (memory). Stays the File's.
  [[nodiscard]] virtual int descriptor() const { return -1; }
};

// Paths are relative to the device: "segments/7.fused". A device has the folders "segments" and
// "recycle" from the start.
class Device {
 public:
  virtual ~Device() = default;

  virtual Result<std::shared_ptr<File>> create(const std::string& path) = 0;  // EEXIST
  virtual Result<std::shared_ptr<File>> open(const std::string& path) = 0;    // ENOENT
  virtual Result<> remove(const std::string& path) = 0;                       // ENOENT
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;  // names, any order
  // Names created, removed and renamed in `folder` so far survive power loss.
  virtual Result<> sync_folder(const std::string& folder) = 0;
  // All that was written and named so far survives power loss, and whatever else the device's file
  // system holds.
  virtual Result<> sync_all() = 0;
  // Whether someone may write the file now, through a descriptor or a mapping, our own included;
  // true where that can't be known.
  virtual Result<bool> may_be_written(const std::string& path) = 0;
  // Without what reserve() keeps.
  virtual Result<DeviceSpace> space() = 0;
  // Bytes of the file system that files leave free, because others need them: allocate() fails with
  // ENOSPC before it takes them.
  [[nodiscard]] virtual std::uint64_t reserve() const { return 0; }
  [[nodiscard]] virtual std::string name() const = 0;  // for messages
};

}  // namespace spillfs::storage
