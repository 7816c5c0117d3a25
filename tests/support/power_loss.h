// SPDX-License-Identifier: Apache-2.0
// A device and an index that the power can go from: what was not synced is then there or not, block
// by block and name by name; of the index a beginning is left that holds all that was synced.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "index/memory_index.h"
#include "storage/memory_device.h"
#include "tests/support/shared.h"

namespace spillfs::tests {

using Random = std::mt19937_64;

inline bool flip(Random& random) { return (random() & 1) != 0; }

// A file and what of it is on disk.
class PowerNode {
 public:
  explicit PowerNode(std::shared_ptr<storage::File> file) : live(std::move(file)) {}

  static std::shared_ptr<PowerNode> empty() {
    return std::make_shared<PowerNode>(storage::MemoryDevice().create("segments/file").value());
  }

  std::shared_ptr<PowerNode> copy() {
    auto made = empty();
    static_cast<void>(made->live->write(as_bytes(on_disk()), 0));
    made->sync();
    const std::string now = content();
    static_cast<void>(made->live->resize(now.size()));
    static_cast<void>(made->live->write(as_bytes(now), 0));
    return made;
  }

  void sync() {
    std::string now = content();
    MutexLock lock(mutex_);
    on_disk_ = std::move(now);
  }

  std::string on_disk() {
    MutexLock lock(mutex_);
    return on_disk_;
  }

  // What a power cut leaves: all old, all new, or each block one of the two.
  std::string remains(Random& random) {
    const std::string now = content();
    MutexLock lock(mutex_);
    const std::uint64_t how = random() % 3;
    if (how == 0) return on_disk_;
    if (how == 1) return now;
    std::string mixed(flip(random) ? now.size() : on_disk_.size(), '\0');
    constexpr std::size_t kBlock = storage::MemoryDevice::kBlock;
    for (std::size_t at = 0; at < mixed.size(); at += kBlock) {
      const std::string& from = flip(random) ? now : on_disk_;
      if (at >= from.size()) continue;
      const std::size_t count = std::min({kBlock, from.size() - at, mixed.size() - at});
      mixed.replace(at, count, from, at, count);
    }
    return mixed;
  }

  const std::shared_ptr<storage::File> live;
  std::atomic<int> opens{0};

 private:
  std::string content() {
    std::string bytes(live->status()->size, '\0');
    static_cast<void>(live->read(std::as_writable_bytes(std::span(bytes)), 0));
    return bytes;
  }

  Mutex mutex_;
  std::string on_disk_ GUARDED_BY(mutex_);
};

class PowerFile final : public storage::File {
 public:
  explicit PowerFile(std::shared_ptr<PowerNode> node) : node_(std::move(node)) { ++node_->opens; }
  PowerFile(const PowerFile&) = delete;
  PowerFile& operator=(const PowerFile&) = delete;
  ~PowerFile() override { --node_->opens; }

  Result<std::size_t> read(MutableBytes into, std::uint64_t offset) override {
    return node_->live->read(into, offset);
  }
  Result<> write(Bytes from, std::uint64_t offset) override {
    return node_->live->write(from, offset);
  }
  Result<> write_parts(std::span<const Bytes> parts, std::uint64_t offset) override {
    return node_->live->write_parts(parts, offset);
  }
  Result<> write_direct(std::span<const Bytes> parts, std::uint64_t offset) override {
    return node_->live->write_direct(parts, offset);
  }
  Result<> write_back(std::uint64_t /*offset*/, std::uint64_t /*length*/) override { return {}; }
  Result<> resize(std::uint64_t size) override { return node_->live->resize(size); }
  Result<> allocate(storage::AllocateMode mode, std::uint64_t offset,
                    std::uint64_t length) override {
    return node_->live->allocate(mode, offset, length);
  }
  Result<std::uint64_t> seek(storage::SeekKind kind, std::uint64_t offset) override {
    return node_->live->seek(kind, offset);
  }
  Result<storage::FileStatus> status() override { return node_->live->status(); }
  Result<> sync() override {
    node_->sync();
    return {};
  }
  Result<> set_attribute(const std::string& name, std::string_view value) override {
    return node_->live->set_attribute(name, value);
  }
  Result<std::string> attribute(const std::string& name) override {
    return node_->live->attribute(name);
  }

 private:
  const std::shared_ptr<PowerNode> node_;
};

class PowerDevice final : public storage::Device {
 public:
  Result<std::shared_ptr<storage::File>> create(const std::string& path) override {
    MutexLock lock(mutex_);
    auto [slot, made] = names_.try_emplace(path);
    if (!made) return fail(EEXIST, "create " + path);
    slot->second = PowerNode::empty();
    return std::make_shared<PowerFile>(slot->second);
  }
  Result<std::shared_ptr<storage::File>> open(const std::string& path) override {
    MutexLock lock(mutex_);
    const auto found = names_.find(path);
    if (found == names_.end()) return fail(ENOENT, "open " + path);
    return std::make_shared<PowerFile>(found->second);
  }
  Result<> remove(const std::string& path) override {
    MutexLock lock(mutex_);
    if (names_.erase(path) == 0) return fail(ENOENT, "remove " + path);
    return {};
  }
  Result<> rename(const std::string& from, const std::string& to) override {
    MutexLock lock(mutex_);
    const auto found = names_.extract(from);
    if (found.empty()) return fail(ENOENT, "rename " + from);
    names_[to] = found.mapped();
    return {};
  }
  Result<std::vector<std::string>> list(const std::string& folder) override {
    MutexLock lock(mutex_);
    std::vector<std::string> found;
    for (const auto& [path, node] : names_) {
      if (path.starts_with(folder + "/")) found.push_back(path.substr(folder.size() + 1));
    }
    return found;
  }
  Result<> sync_folder(const std::string& folder) override {
    MutexLock lock(mutex_);
    const auto inside = [&](const auto& entry) { return entry.first.starts_with(folder + "/"); };
    std::erase_if(on_disk_, inside);
    std::copy_if(names_.begin(), names_.end(), std::inserter(on_disk_, on_disk_.end()), inside);
    return {};
  }
  Result<> sync_all() override {
    MutexLock lock(mutex_);
    for (const auto& [path, node] : names_) node->sync();
    on_disk_ = names_;
    return {};
  }
  Result<bool> may_be_written(const std::string& path) override {
    MutexLock lock(mutex_);
    const auto found = names_.find(path);
    if (found == names_.end()) return fail(ENOENT, "open " + path);
    return found->second->opens > 0;
  }
  Result<storage::DeviceSpace> space() override {
    return storage::DeviceSpace{.total = kGiB, .free = kGiB};
  }
  [[nodiscard]] std::string name() const override { return "powered"; }

  // As a new process finds it when the old one was killed.
  std::shared_ptr<PowerDevice> copy() {
    auto left = std::make_shared<PowerDevice>();
    MutexLock lock(mutex_);
    std::map<PowerNode*, std::shared_ptr<PowerNode>> copies;
    for (const auto& [path, node] : on_disk_) {
      if (!copies[node.get()]) copies[node.get()] = node->copy();
      left->put_on_disk(path, copies[node.get()]);
    }
    for (const auto& [path, node] : names_) {
      if (!copies[node.get()]) copies[node.get()] = node->copy();
      left->put_name(path, copies[node.get()]);
    }
    return left;
  }

  std::shared_ptr<PowerDevice> lose_power_with_nothing_unsynced() {
    auto left = std::make_shared<PowerDevice>();
    MutexLock lock(mutex_);
    for (const auto& [path, node] : on_disk_) {
      static_cast<void>(left->create(path).value()->write(as_bytes(node->on_disk()), 0));
    }
    static_cast<void>(left->sync_all());
    return left;
  }

  std::shared_ptr<PowerDevice> lose_power(Random& random) {
    auto left = std::make_shared<PowerDevice>();
    MutexLock lock(mutex_);
    std::set<std::string> paths;
    for (const auto& [path, node] : names_) paths.insert(path);
    for (const auto& [path, node] : on_disk_) paths.insert(path);
    for (const std::string& path : paths) {
      const auto& from = flip(random) ? names_ : on_disk_;
      const auto found = from.find(path);
      if (found == from.end()) continue;
      const std::string bytes = found->second->remains(random);
      static_cast<void>(left->create(path).value()->write(as_bytes(bytes), 0));
    }
    static_cast<void>(left->sync_all());
    return left;
  }

 private:
  using Names = std::map<std::string, std::shared_ptr<PowerNode>>;

  void put_on_disk(const std::string& path, std::shared_ptr<PowerNode> node) {
    MutexLock lock(mutex_);
    on_disk_[path] = std::move(node);
  }
  void put_name(const std::string& path, std::shared_ptr<PowerNode> node) {
    MutexLock lock(mutex_);
    names_[path] = std::move(node);
  }

  Mutex mutex_;
  Names names_ GUARDED_BY(mutex_);
  Names on_disk_ GUARDED_BY(mutex_);
};

class PowerIndex final : public SharedIndex {
 public:
  PowerIndex() : SharedIndex(std::make_shared<index::MemoryIndex>()) {}

  Result<> commit(const index::Batch& batch) override {
    MutexLock lock(mutex_);
    SPILLFS_TRY(SharedIndex::commit(batch));
    log_.emplace_back(batch);
    return {};
  }
  Result<std::uint64_t> reserve(index::Counter counter, std::uint64_t count) override {
    MutexLock lock(mutex_);
    log_.emplace_back(std::pair(counter, count));
    return SharedIndex::reserve(counter, count);
  }
  Result<> sync() override {
    MutexLock lock(mutex_);
    synced_ = log_.size();
    return {};
  }

  std::shared_ptr<PowerIndex> lose_power(Random& random) {
    MutexLock lock(mutex_);
    const std::size_t count = synced_ + random() % (log_.size() - synced_ + 1);
    return beginning(count, count);
  }

  // As a new process finds it when the old one was killed.
  std::shared_ptr<PowerIndex> copy() {
    MutexLock lock(mutex_);
    return beginning(log_.size(), synced_);
  }

 private:
  using Reserved = std::pair<index::Counter, std::uint64_t>;

  std::shared_ptr<PowerIndex> beginning(std::size_t count, std::size_t synced) REQUIRES(mutex_) {
    auto left = std::make_shared<PowerIndex>();
    for (std::size_t i = 0; i < count; ++i) {
      if (i == synced) static_cast<void>(left->sync());
      if (const auto* batch = std::get_if<index::Batch>(&log_[i])) {
        static_cast<void>(left->commit(*batch));
      } else {
        const auto [counter, numbers] = std::get<Reserved>(log_[i]);
        static_cast<void>(left->reserve(counter, numbers));
      }
    }
    if (count == synced) static_cast<void>(left->sync());
    return left;
  }

  Mutex mutex_;
  std::vector<std::variant<index::Batch, Reserved>> log_ GUARDED_BY(mutex_);
  std::size_t synced_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spillfs::tests
