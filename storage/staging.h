// SPDX-License-Identifier: Apache-2.0
// Staging holds bytes that are not sealed yet: one arena of fixed size in a memfd, cut into blocks.
// A StagedFile is one file's bytes, in order, in blocks of its own.
//
// Threads: Staging may be used from any thread. A StagedFile is its caller's (who holds the inode's
// lock); several may read one at the same time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/fd.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::storage {

class Staging {
 public:
  static constexpr std::uint64_t kBlock = 64 * kKiB;
  static constexpr std::uint64_t kDefaultSize = 64 * kMiB;

  // `size` in bytes, rounded up to whole blocks. The first makes a memfd; the second takes one
  // made elsewhere, sets its size and treats all of it as free.
  static Result<std::unique_ptr<Staging>> create(std::uint64_t size = kDefaultSize);
  static Result<std::unique_ptr<Staging>> create(Fd memory, std::uint64_t size);

  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();  // every StagedFile must be gone

  [[nodiscard]] std::uint64_t size() const { return blocks_ * kBlock; }
  [[nodiscard]] std::uint64_t free_bytes() const;
  [[nodiscard]] int descriptor() const { return memory_.get(); }

 private:
  friend class StagedFile;
  using BlockIndex = std::uint32_t;

  Staging(Fd memory, std::byte* arena, std::uint64_t blocks);

  // Appends `count` free blocks to `to`, or none and ENOBUFS.
  Result<> take(std::uint64_t count, std::vector<BlockIndex>& to);
  // Gives back all of `from` after its first `keep`.
  void give_back(std::vector<BlockIndex>& from, std::size_t keep);
  [[nodiscard]] MutableBytes block(BlockIndex index) const {
    return {arena_ + index * kBlock, kBlock};
  }

  const Fd memory_;
  std::byte* const arena_;
  const std::uint64_t blocks_;

  mutable Mutex mutex_;
  std::vector<BlockIndex> free_ GUARDED_BY(mutex_);
};

// Gives its blocks back when it goes. Must not outlive its Staging.
class StagedFile {
 public:
  explicit StagedFile(Staging& staging) : staging_(&staging) {}
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&& other) noexcept;
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  ~StagedFile();

  // Writes all of `from`, or nothing: EINVAL when offset > size() (a hole), ENOBUFS when the arena
  // is full (the caller moves the largest staged file out and tries again).
  Result<> write(Bytes from, std::uint64_t offset);
  // Bytes read; fewer than asked only at the end.
  std::size_t read(MutableBytes into, std::uint64_t offset) const;
  // Cuts to `size`; EINVAL when it is beyond size().
  Result<> truncate(std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  // The bytes in order, for an append to a segment; valid until the next change.
  [[nodiscard]] std::vector<Bytes> spans() const;
  // As spans(), with zeros behind the last byte up to a multiple of `alignment`, which divides
  // Staging::kBlock. Blocks begin at page borders, so each span is aligned, too.
  [[nodiscard]] std::vector<Bytes> padded_spans(std::uint64_t alignment) const;

 private:
  Staging* staging_;
  std::vector<Staging::BlockIndex> blocks_;
  std::uint64_t size_ = 0;
};

}  // namespace spillfs::storage
