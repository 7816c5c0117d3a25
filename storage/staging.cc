// SPDX-License-Identifier: Apache-2.0
#include "storage/staging.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace spillfs::storage {

namespace {

std::uint64_t blocks_of(std::uint64_t size) {
  return round_up(std::max(size, Staging::kBlock), Staging::kBlock) / Staging::kBlock;
}

}  // namespace

Result<std::unique_ptr<Staging>> Staging::create(std::uint64_t size) {
  Fd memory(::memfd_create("spillfs-staging", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "make the staging arena");
  return create(std::move(memory), size);
}

Result<std::unique_ptr<Staging>> Staging::create(Fd memory, std::uint64_t size) {
  const std::uint64_t blocks = blocks_of(size);
  // Owners that an earlier use left are cut off; what comes back is zeros.
  for (const std::uint64_t length : {blocks * kBlock, memory_size(blocks)}) {
    if (::ftruncate(memory.get(), static_cast<off_t>(length)) != 0) {
      return fail_errno(errno, "size the staging arena");
    }
  }
  std::byte* const arena = SPILLFS_TRY(map(memory, blocks));
  return std::unique_ptr<Staging>(new Staging(std::move(memory), arena, blocks));
}

Result<std::unique_ptr<Staging>> Staging::reopen(Fd memory, std::uint64_t size) {
  const std::uint64_t blocks = blocks_of(size);
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0) return fail_errno(errno, "look at the staging arena");
  if (static_cast<std::uint64_t>(status.st_size) != memory_size(blocks)) {
    return fail(EINVAL, "the staging arena was made with another size");
  }
  std::byte* const arena = SPILLFS_TRY(map(memory, blocks));
  return std::unique_ptr<Staging>(new Staging(std::move(memory), arena, blocks));
}

Result<std::byte*> Staging::map(const Fd& memory, std::uint64_t blocks) {
  void* const arena =
      ::mmap(nullptr, memory_size(blocks), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (arena == MAP_FAILED) return fail_errno(errno, "map the staging arena");
  return static_cast<std::byte*>(arena);
}

Staging::Staging(Fd memory, std::byte* arena, std::uint64_t blocks)
    : memory_(std::move(memory)),
      arena_(arena),
      blocks_(blocks),
      owners_(reinterpret_cast<Owner*>(arena + blocks * kBlock), blocks) {
  // The lowest block is taken first, so that a quiet arena touches few pages.
  for (std::uint64_t i = blocks; i > 0; --i) {
    const auto index = static_cast<BlockIndex>(i - 1);
    const auto [inode, offset] = owners_[index];
    if (inode == 0) {
      free_.push_back(index);
    } else {
      left_.insert({.inode = InodeId{inode}, .offset = offset, .block = index});
    }
  }
}

Staging::~Staging() { ::munmap(arena_, memory_size(blocks_)); }

std::uint64_t Staging::free_bytes() const {
  MutexLock lock(mutex_);
  return free_.size() * kBlock;
}

std::vector<Staging::Left> Staging::left() const {
  MutexLock lock(mutex_);
  return {left_.begin(), left_.end()};
}

void Staging::give_back(std::span<const Left> left) {
  MutexLock lock(mutex_);
  for (const Left& one : left) {
    if (left_.erase(one) != 0) set_free(one.block);
  }
}

Result<> Staging::take(std::uint64_t count, StagedPlace place, std::vector<BlockIndex>& to) {
  MutexLock lock(mutex_);
  if (count > free_.size()) return fail(ENOBUFS, "staging is full");
  to.reserve(to.size() + count);
  for (; count > 0; --count) {
    const BlockIndex index = free_.back();
    free_.pop_back();
    Owner& owner = owners_[index];
    owner.offset = place.offset;
    std::atomic_ref(owner.inode).store(number(place.inode), std::memory_order_release);
    place.offset += kBlock;
    to.push_back(index);
  }
  return {};
}

Result<> Staging::take(std::span<const Left> left, std::vector<BlockIndex>& to) {
  MutexLock lock(mutex_);
  for (const Left& one : left) {
    if (!left_.contains(one)) return fail(EINVAL, "nobody left this block");
  }
  for (const Left& one : left) {
    left_.erase(one);
    to.push_back(one.block);
  }
  return {};
}

void Staging::give_back(std::vector<BlockIndex>& from, std::size_t keep) {
  MutexLock lock(mutex_);
  while (from.size() > keep) {
    set_free(from.back());
    from.pop_back();
  }
}

void Staging::set_free(BlockIndex index) {
  std::atomic_ref(owners_[index].inode).store(0, std::memory_order_release);
  free_.push_back(index);
}

Result<StagedFile> StagedFile::resume(Staging& staging, StagedPlace place,
                                      std::span<const Staging::Left> blocks, std::uint64_t size) {
  if (size > blocks.size() * Staging::kBlock) return fail(EINVAL, "staged blocks are missing");
  const std::size_t count = round_up(size, Staging::kBlock) / Staging::kBlock;
  std::uint64_t offset = place.offset;
  for (const Staging::Left& block : blocks.first(count)) {
    if (block.inode != place.inode || block.offset != offset) {
      return fail(EINVAL, "a staged block belongs elsewhere");
    }
    offset += Staging::kBlock;
  }
  StagedFile file(staging, place);
  SPILLFS_TRY(staging.take(blocks.first(count), file.blocks_));
  staging.give_back(blocks.subspan(count));
  file.size_ = size;
  return file;
}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : staging_(other.staging_),
      place_(other.place_),
      blocks_(std::exchange(other.blocks_, {})),
      size_(std::exchange(other.size_, 0)) {}

StagedFile& StagedFile::operator=(StagedFile&& other) noexcept {
  if (this == &other) return *this;
  staging_->give_back(blocks_, 0);
  staging_ = other.staging_;
  place_ = other.place_;
  blocks_ = std::exchange(other.blocks_, {});
  size_ = std::exchange(other.size_, 0);
  return *this;
}

StagedFile::~StagedFile() { staging_->give_back(blocks_, 0); }

Result<> StagedFile::write(Bytes from, std::uint64_t offset) {
  if (offset > size_) return fail(EINVAL, "staged bytes come in order");
  const std::uint64_t end = offset + from.size();
  const std::uint64_t wanted = round_up(end, Staging::kBlock) / Staging::kBlock;
  if (wanted > blocks_.size()) {
    const StagedPlace next{place_.inode, place_.offset + blocks_.size() * Staging::kBlock};
    SPILLFS_TRY(staging_->take(wanted - blocks_.size(), next, blocks_));
  }
  while (!from.empty()) {
    const std::uint64_t at = offset % Staging::kBlock;
    const MutableBytes to = staging_->block(blocks_[offset / Staging::kBlock]).subspan(at);
    const std::size_t count = std::min(to.size(), from.size());
    std::copy_n(from.begin(), count, to.begin());
    from = from.subspan(count);
    offset += count;
  }
  size_ = std::max(size_, end);
  return {};
}

std::size_t StagedFile::read(MutableBytes into, std::uint64_t offset) const {
  if (offset >= size_) return 0;
  into = into.first(std::min<std::uint64_t>(into.size(), size_ - offset));
  for (std::size_t done = 0; done < into.size();) {
    const std::uint64_t at = offset + done;
    const Bytes part = staging_->block(blocks_[at / Staging::kBlock]).subspan(at % Staging::kBlock);
    const std::size_t count = std::min(part.size(), into.size() - done);
    std::copy_n(part.begin(), count, into.subspan(done).begin());
    done += count;
  }
  return into.size();
}

Result<> StagedFile::truncate(std::uint64_t size) {
  if (size > size_) return fail(EINVAL, "staged bytes come in order");
  size_ = size;
  staging_->give_back(blocks_, round_up(size, Staging::kBlock) / Staging::kBlock);
  return {};
}

std::vector<Bytes> StagedFile::padded_spans(std::uint64_t alignment) const {
  std::vector<Bytes> spans = this->spans();
  const std::uint64_t used = size_ % Staging::kBlock;
  const std::uint64_t padded = round_up(used, alignment);
  if (used != padded) {
    const MutableBytes block = staging_->block(blocks_[size_ / Staging::kBlock]);
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(used),
              block.begin() + static_cast<std::ptrdiff_t>(padded), std::byte{0});
    spans.back() = block.first(padded);
  }
  return spans;
}

std::vector<Bytes> StagedFile::spans() const {
  std::vector<Bytes> spans;
  for (std::uint64_t at = 0; at < size_; at += Staging::kBlock) {
    const Bytes block = staging_->block(blocks_[at / Staging::kBlock]);
    spans.push_back(block.first(std::min(Staging::kBlock, size_ - at)));
  }
  return spans;
}

}  // namespace spillfs::storage
