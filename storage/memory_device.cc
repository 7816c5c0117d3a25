// SPDX-License-Identifier: Apache-2.0
#include "storage/memory_device.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace spillfs::storage {

// Bytes of blocks in use; taken before a block exists.
class MemoryDevice::Budget {
 public:
  explicit Budget(std::uint64_t capacity) : capacity_(capacity) {}

  Result<> take(std::uint64_t bytes) {
    std::uint64_t now = used_;
    do {
      if (bytes > capacity_ - now) return fail(ENOSPC, "memory device is full");
    } while (!used_.compare_exchange_weak(now, now + bytes));
    return {};
  }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }
  [[nodiscard]] DeviceSpace space() const {
    return {.total = capacity_, .free = capacity_ - used_};
  }

 private:
  const std::uint64_t capacity_;
  std::atomic<std::uint64_t> used_{0};
};

class MemoryDevice::MemoryFile final : public File {
 public:
  explicit MemoryFile(std::shared_ptr<Budget> budget) : budget_(std::move(budget)) {}
  ~MemoryFile() override { budget_->give_back(blocks_.size() * kBlock); }

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    MutexLock lock(mutex_);
    if (offset >= size_) return 0;
    into = into.first(std::min<std::uint64_t>(into.size(), size_ - offset));
    for (const Part& part : parts(offset, into.size())) {
      const auto found = blocks_.find(part.block);
      const auto target = into.subspan(part.from, part.count);
      if (found == blocks_.end()) {
        std::fill(target.begin(), target.end(), std::byte{0});
      } else {
        const Bytes source = Bytes(found->second).subspan(part.at, part.count);
        std::copy(source.begin(), source.end(), target.begin());
      }
    }
    return into.size();
  }

  Result<> write(Bytes from, std::uint64_t offset) override {
    MutexLock lock(mutex_);
    SPILLFS_TRY(fill_blocks(offset, from.size()));
    copy_in(from, offset);
    touch();
    size_ = std::max(size_, offset + from.size());
    return {};
  }

  Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) override {
    return write_parts(parts, offset);
  }

  Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) override {
    for (Bytes part : parts) {
      SPILLFS_TRY(write(part, offset));
      offset += part.size();
    }
    return {};
  }

  Result<> write_back(std::uint64_t /*offset*/, std::uint64_t /*length*/) override { return {}; }

  Result<> resize(std::uint64_t size) override {
    MutexLock lock(mutex_);
    drop_blocks(round_up(size, kBlock), kEverything);
    if (size < size_) zero(size, round_up(size, kBlock));
    touch();
    size_ = size;
    return {};
  }

  Result<> allocate(AllocateMode mode, std::uint64_t offset, std::uint64_t length) override {
    MutexLock lock(mutex_);
    const std::uint64_t end = offset + length;
    const bool zeroes = mode != AllocateMode::kExtend && mode != AllocateMode::kKeepSize;
    const bool grows = mode == AllocateMode::kExtend || mode == AllocateMode::kZero;
    if (mode != AllocateMode::kPunchHole) SPILLFS_TRY(fill_blocks(offset, length));
    if (zeroes) zero(offset, end);
    if (mode == AllocateMode::kPunchHole) {
      drop_blocks(round_up(offset, kBlock), end / kBlock * kBlock);
    }
    if (grows) size_ = std::max(size_, end);
    return {};
  }

  Result<std::uint64_t> seek(SeekKind kind, std::uint64_t offset) override {
    MutexLock lock(mutex_);
    if (offset >= size_) return fail(ENXIO, "seek behind the end");
    std::uint64_t block = offset / kBlock;
    auto next = blocks_.lower_bound(block);
    if (kind == SeekKind::kData) {
      if (next == blocks_.end() || next->first * kBlock >= size_) {
        return fail(ENXIO, "no more data");
      }
      return std::max(offset, next->first * kBlock);
    }
    for (; next != blocks_.end() && next->first == block; ++next) ++block;
    return std::min(size_, std::max(offset, block * kBlock));
  }

  Result<FileStatus> status() override {
    MutexLock lock(mutex_);
    return FileStatus{.size = size_, .allocated = blocks_.size() * kBlock, .modified = modified_};
  }

  Result<> sync() override { return {}; }

  Result<> set_attribute(const std::string& name, std::string_view value) override {
    MutexLock lock(mutex_);
    attributes_[name] = value;
    return {};
  }

  Result<std::string> attribute(const std::string& name) override {
    MutexLock lock(mutex_);
    const auto found = attributes_.find(name);
    if (found == attributes_.end()) return fail(ENODATA, "no such attribute");
    return found->second;
  }

 private:
  using Block = std::array<std::byte, kBlock>;
  static constexpr std::uint64_t kEverything = ~std::uint64_t{0};

  // What a range of the file has in one block.
  struct Part {
    std::uint64_t block = 0;
    std::uint64_t at = 0;    // offset in the block
    std::uint64_t from = 0;  // offset in the range
    std::uint64_t count = 0;
  };
  static std::vector<Part> parts(std::uint64_t offset, std::uint64_t length) {
    std::vector<Part> found;
    for (std::uint64_t done = 0; done < length; done += found.back().count) {
      const std::uint64_t at = (offset + done) % kBlock;
      found.push_back({.block = (offset + done) / kBlock,
                       .at = at,
                       .from = done,
                       .count = std::min(length - done, kBlock - at)});
    }
    return found;
  }

  void touch() REQUIRES(mutex_) { ::clock_gettime(CLOCK_REALTIME, &modified_); }

  Result<> fill_blocks(std::uint64_t offset, std::uint64_t length) REQUIRES(mutex_) {
    std::vector<std::uint64_t> missing;
    for (std::uint64_t block = offset / kBlock; block * kBlock < offset + length; ++block) {
      if (!blocks_.contains(block)) missing.push_back(block);
    }
    SPILLFS_TRY(budget_->take(missing.size() * kBlock));
    for (std::uint64_t block : missing) blocks_.emplace(block, Block{});
    return {};
  }

  void copy_in(Bytes from, std::uint64_t offset) REQUIRES(mutex_) {
    for (const Part& part : parts(offset, from.size())) {
      const Bytes source = from.subspan(part.from, part.count);
      const MutableBytes block = blocks_.at(part.block);
      std::copy(source.begin(), source.end(), block.subspan(part.at).begin());
    }
  }

  void zero(std::uint64_t from, std::uint64_t to) REQUIRES(mutex_) {
    if (from >= to) return;
    for (auto found = blocks_.lower_bound(from / kBlock);
         found != blocks_.end() && found->first * kBlock < to; ++found) {
      const std::uint64_t start = found->first * kBlock;
      const std::uint64_t first = std::max(from, start) - start;
      const std::uint64_t last = std::min(to - start, kBlock);
      const MutableBytes part = MutableBytes(found->second).subspan(first, last - first);
      std::fill(part.begin(), part.end(), std::byte{0});
    }
  }

  // Both ends at block borders.
  void drop_blocks(std::uint64_t from, std::uint64_t to) REQUIRES(mutex_) {
    if (from >= to) return;
    const auto first = blocks_.lower_bound(from / kBlock);
    const auto last = blocks_.lower_bound(to / kBlock);
    budget_->give_back(static_cast<std::uint64_t>(std::distance(first, last)) * kBlock);
    blocks_.erase(first, last);
  }

  const std::shared_ptr<Budget> budget_;
  Mutex mutex_;
  std::uint64_t size_ GUARDED_BY(mutex_) = 0;
  timespec modified_ GUARDED_BY(mutex_){};
  std::map<std::uint64_t, Block> blocks_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> attributes_ GUARDED_BY(mutex_);
};

MemoryDevice::MemoryDevice(std::uint64_t capacity) : budget_(std::make_shared<Budget>(capacity)) {}
MemoryDevice::~MemoryDevice() = default;

Result<std::shared_ptr<File>> MemoryDevice::create(const std::string& path) {
  MutexLock lock(mutex_);
  auto [slot, made] = files_.try_emplace(path);
  if (!made) return fail(EEXIST, "create " + path);
  slot->second = std::make_shared<MemoryFile>(budget_);
  return slot->second;
}

Result<std::shared_ptr<File>> MemoryDevice::open(const std::string& path) {
  MutexLock lock(mutex_);
  const auto found = files_.find(path);
  if (found == files_.end()) return fail(ENOENT, "open " + path);
  return found->second;
}

Result<> MemoryDevice::remove(const std::string& path) {
  MutexLock lock(mutex_);
  if (files_.erase(path) == 0) return fail(ENOENT, "remove " + path);
  return {};
}

Result<> MemoryDevice::rename(const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  const auto found = files_.find(from);
  if (found == files_.end()) return fail(ENOENT, "rename " + from);
  if (from == to) return {};
  files_[to] = found->second;
  files_.erase(found);
  return {};
}

Result<std::vector<std::string>> MemoryDevice::list(const std::string& folder) {
  MutexLock lock(mutex_);
  const std::string prefix = folder + "/";
  std::vector<std::string> names;
  for (const auto& [path, file] : files_) {
    if (path.starts_with(prefix)) names.push_back(path.substr(prefix.size()));
  }
  return names;
}

Result<> MemoryDevice::sync_folder(const std::string& /*folder*/) { return {}; }
Result<> MemoryDevice::sync_all() { return {}; }

Result<bool> MemoryDevice::may_be_written(const std::string& path) {
  MutexLock lock(mutex_);
  const auto found = files_.find(path);
  if (found == files_.end()) return fail(ENOENT, "open " + path);
  return found->second.use_count() > 1;
}

Result<DeviceSpace> MemoryDevice::space() { return budget_->space(); }

}  // namespace spillfs::storage
