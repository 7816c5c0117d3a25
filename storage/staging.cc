// SPDX-License-Identifier: Apache-2.0
#include "storage/staging.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace spillfs::storage {

Result<std::unique_ptr<Staging>> Staging::create(std::uint64_t size) {
  Fd memory(::memfd_create("spillfs-staging", MFD_CLOEXEC));
  if (!memory) return fail_errno(errno, "make the staging arena");
  return create(std::move(memory), size);
}

Result<std::unique_ptr<Staging>> Staging::create(Fd memory, std::uint64_t size) {
  size = round_up(std::max(size, kBlock), kBlock);
  if (::ftruncate(memory.get(), static_cast<off_t>(size)) != 0) {
    return fail_errno(errno, "size the staging arena");
  }
  void* arena = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (arena == MAP_FAILED) return fail_errno(errno, "map the staging arena");
  return std::unique_ptr<Staging>(
      new Staging(std::move(memory), static_cast<std::byte*>(arena), size / kBlock));
}

Staging::Staging(Fd memory, std::byte* arena, std::uint64_t blocks)
    : memory_(std::move(memory)), arena_(arena), blocks_(blocks) {
  // The lowest block is taken first, so that a quiet arena touches few pages.
  for (std::uint64_t i = blocks; i > 0; --i) free_.push_back(static_cast<BlockIndex>(i - 1));
}

Staging::~Staging() { ::munmap(arena_, size()); }

std::uint64_t Staging::free_bytes() const {
  MutexLock lock(mutex_);
  return free_.size() * kBlock;
}

Result<> Staging::take(std::uint64_t count, std::vector<BlockIndex>& to) {
  MutexLock lock(mutex_);
  if (count > free_.size()) return fail(ENOBUFS, "staging is full");
  to.reserve(to.size() + count);
  for (; count > 0; --count) {
    to.push_back(free_.back());
    free_.pop_back();
  }
  return {};
}

void Staging::give_back(std::vector<BlockIndex>& from, std::size_t keep) {
  MutexLock lock(mutex_);
  while (from.size() > keep) {
    free_.push_back(from.back());
    from.pop_back();
  }
}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : staging_(other.staging_),
      blocks_(std::exchange(other.blocks_, {})),
      size_(std::exchange(other.size_, 0)) {}

StagedFile& StagedFile::operator=(StagedFile&& other) noexcept {
  if (this == &other) return *this;
  staging_->give_back(blocks_, 0);
  staging_ = other.staging_;
  blocks_ = std::exchange(other.blocks_, {});
  size_ = std::exchange(other.size_, 0);
  return *this;
}

StagedFile::~StagedFile() { staging_->give_back(blocks_, 0); }

Result<> StagedFile::write(Bytes from, std::uint64_t offset) {
  if (offset > size_) return fail(EINVAL, "staged bytes come in order");
  const std::uint64_t end = offset + from.size();
  const std::uint64_t wanted = round_up(end, Staging::kBlock) / Staging::kBlock;
  if (wanted > blocks_.size()) SPILLFS_TRY(staging_->take(wanted - blocks_.size(), blocks_));
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
