// SPDX-License-Identifier: Apache-2.0
// PrivateSegment: one inode's file. It begins as a stream: bytes that come in order go into
// preallocated or recycled space behind the written length, which no reader sees. The first change
// out of that order cuts the backing file to the written length; from then on it is changed in
// place like any file.
//
// Threads: read(), seek(), sums(), length(), sync() may run at the same time as each other; all
// else needs the caller to be alone (it holds the inode's lock). Errors: as the File's. After an
// error the bytes of the successful writes are kept.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/checksum.h"
#include "storage/base/ids.h"
#include "storage/base/result.h"
#include "storage/chunk_summer.h"
#include "storage/device.h"
#include "storage/format.h"
#include "storage/write_back.h"
#include "storage/write_behind.h"

namespace spillfs::storage {

enum class DiskWait : std::uint8_t { kWait, kCallAgain };

class PrivateSegment {
 public:
  struct Place {
    SegmentId id = kNoSegment;
    DirectoryId directory{};
  };

  // `file` holds blocks to be written over (its size), none of which are the inode's. `device`
  // outlives the segment. Use SegmentStore::create_private() and open_private().
  static Result<std::unique_ptr<PrivateSegment>> start(Device& device, std::shared_ptr<File> file,
                                                       Place place, std::uint64_t preallocate_step);
  // The first `length` bytes of `file` are the inode's; EIO when it is shorter. What is behind them
  // is cut off at the first change.
  static Result<std::unique_ptr<PrivateSegment>> resume(Device& device, std::shared_ptr<File> file,
                                                        Place place, std::uint64_t length);

  // The stream's bytes, which are `inode`'s, go to disk past the page cache, by `pool`, from now
  // on. What is given outlives it.
  void write_directly(Staging& staging, WritePool& pool, InodeId inode);
  // The stream's bytes go through the page cache; beyond `window` dirty bytes `pool` writes the
  // oldest to disk.
  void write_cached(WritePool& pool, std::uint64_t window);
  [[nodiscard]] bool is_direct() const { return staging_ != nullptr; }
  // Takes over a new file's staged bytes, at most WriteBehind::kBatch; after write_directly(),
  // before any write. They begin at offset 0 of the same inode. After an error they are still the
  // caller's.
  Result<> adopt(StagedFile& staged);
  // Whether all of the stream that is to be written directly is on disk, or else is on its way
  // there: ask again when a job of the pool is done.
  Result<bool> settle();

  // Fewer bytes than asked only at length(). EIO, with segment and offset, when the backing file
  // ends before it.
  Result<std::size_t> read(MutableBytes into, std::uint64_t offset);
  // Writes all of `from`. ENOSPC before anything is written where the stream cannot preallocate.
  // With kCallAgain ENOBUFS, and nothing written, when it would have to wait for the disk: a job of
  // the pool that ends makes room. Then `from` is at most WriteBehind::kBatch bytes.
  Result<> write(Bytes from, std::uint64_t offset, DiskWait wait = DiskWait::kWait);
  // Sets length(). To 0 starts a new stream; to the same length changes nothing.
  Result<> truncate(std::uint64_t size);
  // As fallocate(2): length() grows with kExtend and kZero.
  Result<> allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length);
  // Within [0, length()): holes and preallocated space are never reported behind it.
  Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset);
  // Makes the backing file exactly length() bytes, for a seal. A stream may go on after it.
  Result<> trim();
  // Cuts the backing file to the written length; from now on it is changed in place, no stream and
  // no sums any more.
  Result<> stop_streaming();
  // Takes length() from the backing file, which a passthrough writer has changed; forgets sums.
  Result<FileStatus> refresh();
  Result<> sync();

  // Writes the identity, with the current length, to the backing file. Not an error where the file
  // system has no xattrs or no room for them.
  Result<> identify(Identity identity);

  [[nodiscard]] SegmentId id() const { return place_.id; }
  [[nodiscard]] DirectoryId directory() const { return place_.directory; }
  [[nodiscard]] std::uint64_t length() const { return length_; }
  // Every byte so far came in order.
  [[nodiscard]] bool streaming() const { return stream_.has_value(); }
  [[nodiscard]] Location location() const;
  // Bytes of blocks the backing file takes, preallocated ones included.
  Result<std::uint64_t> allocated();
  // XXH3 of each kChunk of [0, length()), the last may be short; nothing when the bytes were not
  // all seen in order.
  // The stream's sums from chunk `first` on.
  [[nodiscard]] std::optional<std::vector<std::uint64_t>> sums(std::uint64_t first = 0) const;
  // The caller has kept those of all full chunks so far; they stay so while the stream goes on.
  void note_sums_kept() { kept_sums_ = length_ / kChunk; }
  [[nodiscard]] std::uint64_t kept_sums() const { return kept_sums_; }
  [[nodiscard]] const std::shared_ptr<File>& file() const { return file_; }

 private:
  PrivateSegment(Device& device, std::shared_ptr<File> file, Place place);
  Result<> append(Bytes from, DiskWait wait);
  Result<bool> append_directly(Bytes from, DiskWait wait);
  Result<> append_cached(Bytes from, DiskWait wait);
  Result<> drain();
  Result<> preallocate(std::uint64_t end);

  Device& device_;
  const std::shared_ptr<File> file_;
  const Place place_;
  std::uint64_t step_ = 0;  // 0: no preallocation

  std::uint64_t length_ = 0;           // the inode's bytes
  std::uint64_t physical_ = 0;         // what the backing file's size is at most, >= length_
  std::uint64_t preallocated_ = 0;     // of a stream: blocks exist up to here
  std::optional<ChunkSummer> stream_;  // while all bytes came in order
  std::uint64_t kept_sums_ = 0;        // of it: the first so many
  WritePool* pool_ = nullptr;
  Staging* staging_ = nullptr;  // of a stream that is written directly
  InodeId inode_{};             // whose bytes it stages
  std::uint64_t window_ = 0;    // of a cached one; 0: no limit
  std::shared_ptr<WriteBack> write_back_;
  std::unique_ptr<WriteBehind> behind_;
  std::optional<Error> lost_;  // bytes that had been taken did not reach the disk
  std::atomic<bool> name_synced_ = false;
};

}  // namespace spillfs::storage
