// SPDX-License-Identifier: Apache-2.0
// A Device and an Index that a test keeps a hand on after a Volume took them: what a store is to a
// process that ends and starts again.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "index/index.h"
#include "storage/device.h"

namespace spillfs::tests {

class SharedDevice : public storage::Device {
 public:
  explicit SharedDevice(std::shared_ptr<Device> inner) : inner_(std::move(inner)) {}
  Result<std::shared_ptr<storage::File>> create(const std::string& path) override {
    return inner_->create(path);
  }
  Result<std::shared_ptr<storage::File>> open(const std::string& path) override {
    return inner_->open(path);
  }
  Result<> remove(const std::string& path) override { return inner_->remove(path); }
  Result<> rename(const std::string& from, const std::string& to) override {
    return inner_->rename(from, to);
  }
  Result<std::vector<std::string>> list(const std::string& folder) override {
    return inner_->list(folder);
  }
  Result<> sync_folder(const std::string& folder) override { return inner_->sync_folder(folder); }
  Result<> sync_all() override { return inner_->sync_all(); }
  Result<bool> may_be_written(const std::string& path) override {
    return inner_->may_be_written(path);
  }
  Result<storage::DeviceSpace> space() override { return inner_->space(); }
  [[nodiscard]] std::uint64_t reserve() const override { return inner_->reserve(); }
  [[nodiscard]] std::string name() const override { return inner_->name(); }

 private:
  const std::shared_ptr<Device> inner_;
};

class SharedIndex : public index::Index {
 public:
  explicit SharedIndex(std::shared_ptr<Index> inner) : inner_(std::move(inner)) {}
  Result<> commit(const index::Batch& batch) override { return inner_->commit(batch); }
  Result<> sync() override { return inner_->sync(); }
  Result<index::Inode> inode(InodeId id) override { return inner_->inode(id); }
  Result<index::Dentry> find(InodeId parent, std::string_view name) override {
    return inner_->find(parent, name);
  }
  Result<std::vector<index::Dentry>> list(InodeId parent, std::uint64_t after,
                                          std::size_t limit) override {
    return inner_->list(parent, after, limit);
  }
  Result<std::string> xattr(InodeId id, std::string_view name) override {
    return inner_->xattr(id, name);
  }
  Result<std::vector<std::string>> xattr_names(InodeId id) override {
    return inner_->xattr_names(id);
  }
  Result<index::Segment> segment(SegmentId id) override { return inner_->segment(id); }
  Result<std::vector<index::Segment>> segments(SegmentKind kind, SegmentId after,
                                               std::size_t limit) override {
    return inner_->segments(kind, after, limit);
  }
  Result<std::vector<std::uint64_t>> sums(SegmentId id, std::uint64_t first,
                                          std::size_t count) override {
    return inner_->sums(id, first, count);
  }
  Result<std::vector<index::Record>> records(SegmentId segment, std::uint64_t from,
                                             std::size_t limit) override {
    return inner_->records(segment, from, limit);
  }
  Result<std::vector<index::QueueEntry>> queue(index::QueueKind kind, std::uint64_t after,
                                               std::size_t limit) override {
    return inner_->queue(kind, after, limit);
  }
  Result<index::QueueEntry> queued(index::QueueKind kind, std::uint64_t id) override {
    return inner_->queued(kind, id);
  }
  Result<index::Reply> reply(RequestId request) override { return inner_->reply(request); }
  Result<> erase_all_replies() override { return inner_->erase_all_replies(); }
  Result<index::Totals> totals() override { return inner_->totals(); }
  Result<std::vector<index::UserTotal>> users() override { return inner_->users(); }
  Result<index::SyncMark> sync_mark() override { return inner_->sync_mark(); }
  Result<index::ScrubMark> scrub_mark() override { return inner_->scrub_mark(); }
  Result<std::vector<index::Inode>> inodes(InodeId after, std::size_t limit) override {
    return inner_->inodes(after, limit);
  }
  Result<std::uint64_t> reserve(index::Counter counter, std::uint64_t count) override {
    return inner_->reserve(counter, count);
  }

 private:
  const std::shared_ptr<Index> inner_;
};

}  // namespace spillfs::tests
