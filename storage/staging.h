// SPDX-License-Identifier: Apache-2.0
// Staging holds bytes that are not sealed yet: one arena of fixed size in a memfd, cut into blocks.
// A StagedFile is one file's bytes, in order, in blocks of its own. Behind the arena the memfd says
// of each block whose it is, so that who has the memfd finds what a process left that is gone.
//
// Threads: Staging may be used from any thread. A StagedFile is its caller's (who holds the inode's
// lock); several may read one at the same time.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/fd.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::storage {

// Where staged bytes belong: the next one is at `offset` of the file of `inode`, which is not 0.
// The offset need not be a multiple of Staging::kBlock.
struct StagedPlace {
  InodeId inode{};
  std::uint64_t offset = 0;
};

class Staging {
 public:
  static constexpr std::uint64_t kBlock = 64 * kKiB;
  static constexpr std::uint64_t kDefaultSize = 64 * kMiB;

  // `size` in bytes, rounded up to whole blocks. The first makes a memfd; the second takes one
  // made elsewhere, sets its size and treats all of it as free.
  static Result<std::unique_ptr<Staging>> create(std::uint64_t size = kDefaultSize);
  static Result<std::unique_ptr<Staging>> create(Fd memory, std::uint64_t size);
  // As the second, but keeps what an earlier process left: those blocks are not free until they are
  // resumed or given back. EINVAL when `memory` does not have the size that create() gave it with
  // the same `size`.
  static Result<std::unique_ptr<Staging>> reopen(Fd memory, std::uint64_t size);

  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();  // every StagedFile must be gone

  [[nodiscard]] std::uint64_t size() const { return blocks_ * kBlock; }
  [[nodiscard]] std::uint64_t free_bytes() const;
  [[nodiscard]] int descriptor() const { return memory_.get(); }

  // A block that an earlier process left: its first byte is at `offset` of the file of `inode`. The
  // process may have died before it filled the last block of a StagedFile, or any of it.
  struct Left {
    InodeId inode{};
    std::uint64_t offset = 0;
    std::uint32_t block = 0;

    friend auto operator<=>(const Left&, const Left&) = default;
  };
  // Sorted by inode, then offset. What has been neither resumed nor given back.
  [[nodiscard]] std::vector<Left> left() const;
  // All of the block.
  [[nodiscard]] Bytes bytes(const Left& left) const { return block(left.block); }
  // What is not left (any more) is passed over.
  void give_back(std::span<const Left> left);

 private:
  friend class StagedFile;
  using BlockIndex = std::uint32_t;

  // Whose a block is; nobody's while the inode is 0. A process may die between any two stores, so
  // the inode is stored last, before the first byte of the block, and cleared before the block is
  // free.
  struct Owner {
    std::uint64_t inode = 0;
    std::uint64_t offset = 0;
  };
  static_assert(sizeof(Owner) == 16 && alignof(Owner) == 8);

  // Of the arena and the owners behind it.
  static constexpr std::uint64_t memory_size(std::uint64_t blocks) {
    constexpr std::uint64_t kPage = 4 * kKiB;
    return round_up(blocks * (kBlock + sizeof(Owner)), kPage);
  }
  static Result<std::byte*> map(const Fd& memory, std::uint64_t blocks);

  // Blocks with an owner are left, the others free.
  Staging(Fd memory, std::byte* arena, std::uint64_t blocks);

  // Appends `count` free blocks, which will hold the bytes from `place` on, to `to`, or none and
  // ENOBUFS.
  Result<> take(std::uint64_t count, StagedPlace place, std::vector<BlockIndex>& to);
  // Appends all of `left` to `to`, or none and EINVAL when one is not left.
  Result<> take(std::span<const Left> left, std::vector<BlockIndex>& to);
  // Gives back all of `from` after its first `keep`.
  void give_back(std::vector<BlockIndex>& from, std::size_t keep);
  void set_free(BlockIndex index) REQUIRES(mutex_);
  [[nodiscard]] MutableBytes block(BlockIndex index) const {
    return {arena_ + index * kBlock, kBlock};
  }

  const Fd memory_;
  std::byte* const arena_;
  const std::uint64_t blocks_;
  const std::span<Owner> owners_;

  mutable Mutex mutex_;
  std::vector<BlockIndex> free_ GUARDED_BY(mutex_);
  std::set<Left> left_ GUARDED_BY(mutex_);
};

// Gives its blocks back when it goes. Must not outlive its Staging.
class StagedFile {
 public:
  // Its first byte will be at `place`.
  StagedFile(Staging& staging, StagedPlace place) : staging_(&staging), place_(place) {}
  // Takes over blocks that an earlier process left, in order and without a gap from `place` on,
  // with the first `size` bytes; those behind them are given back. EINVAL, and nothing is taken
  // over or given back, when the blocks do not hold so many.
  static Result<StagedFile> resume(Staging& staging, StagedPlace place,
                                   std::span<const Staging::Left> blocks, std::uint64_t size);
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
  [[nodiscard]] StagedPlace place() const { return place_; }
  // The bytes in order, for an append to a segment; valid until the next change.
  [[nodiscard]] std::vector<Bytes> spans() const;
  // As spans(), with zeros behind the last byte up to a multiple of `alignment`, which divides
  // Staging::kBlock. Blocks begin at page borders, so each span is aligned, too.
  [[nodiscard]] std::vector<Bytes> padded_spans(std::uint64_t alignment) const;

 private:
  Staging* staging_;
  StagedPlace place_;
  std::vector<Staging::BlockIndex> blocks_;
  std::uint64_t size_ = 0;
};

}  // namespace spillfs::storage
