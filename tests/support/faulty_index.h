// SPDX-License-Identifier: Apache-2.0
// FaultyIndex: another index whose N-th operation fails without effect. Shares the FaultPlan of the
// devices, so that one count goes over everything a Volume does.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/faulty_device.h"
#include "tests/support/shared.h"

namespace spillfs::tests {

class FaultyIndex final : public SharedIndex {
 public:
  FaultyIndex(std::shared_ptr<Index> inner, std::shared_ptr<storage::FaultPlan> plan)
      : SharedIndex(std::move(inner)), plan_(std::move(plan)) {}

  Result<> commit(const index::Batch& batch) override {
    SPILLFS_TRY(may_fail("commit"));
    return SharedIndex::commit(batch);
  }
  Result<> sync() override {
    SPILLFS_TRY(may_fail("sync"));
    return SharedIndex::sync();
  }
  Result<index::Inode> inode(InodeId id) override {
    SPILLFS_TRY(may_fail("inode"));
    return SharedIndex::inode(id);
  }
  Result<index::Dentry> find(InodeId parent, std::string_view name) override {
    SPILLFS_TRY(may_fail("find"));
    return SharedIndex::find(parent, name);
  }
  Result<std::vector<index::Dentry>> list(InodeId parent, std::uint64_t after,
                                          std::size_t limit) override {
    SPILLFS_TRY(may_fail("list"));
    return SharedIndex::list(parent, after, limit);
  }
  Result<std::string> xattr(InodeId id, std::string_view name) override {
    SPILLFS_TRY(may_fail("xattr"));
    return SharedIndex::xattr(id, name);
  }
  Result<std::vector<std::string>> xattr_names(InodeId id) override {
    SPILLFS_TRY(may_fail("xattr_names"));
    return SharedIndex::xattr_names(id);
  }
  Result<index::Segment> segment(SegmentId id) override {
    SPILLFS_TRY(may_fail("segment"));
    return SharedIndex::segment(id);
  }
  Result<std::vector<index::Segment>> segments(SegmentKind kind, SegmentId after,
                                               std::size_t limit) override {
    SPILLFS_TRY(may_fail("segments"));
    return SharedIndex::segments(kind, after, limit);
  }
  Result<std::vector<std::uint64_t>> sums(SegmentId id, std::uint64_t first,
                                          std::size_t count) override {
    SPILLFS_TRY(may_fail("sums"));
    return SharedIndex::sums(id, first, count);
  }
  Result<std::vector<index::Record>> records(SegmentId segment, std::uint64_t from,
                                             std::size_t limit) override {
    SPILLFS_TRY(may_fail("records"));
    return SharedIndex::records(segment, from, limit);
  }
  Result<std::vector<index::QueueEntry>> queue(index::QueueKind kind, std::uint64_t after,
                                               std::size_t limit) override {
    SPILLFS_TRY(may_fail("queue"));
    return SharedIndex::queue(kind, after, limit);
  }
  Result<index::QueueEntry> queued(index::QueueKind kind, std::uint64_t id) override {
    SPILLFS_TRY(may_fail("queued"));
    return SharedIndex::queued(kind, id);
  }
  Result<index::Reply> reply(RequestId request) override {
    SPILLFS_TRY(may_fail("reply"));
    return SharedIndex::reply(request);
  }
  Result<> erase_all_replies() override {
    SPILLFS_TRY(may_fail("erase_all_replies"));
    return SharedIndex::erase_all_replies();
  }
  Result<index::Totals> totals() override {
    SPILLFS_TRY(may_fail("totals"));
    return SharedIndex::totals();
  }
  Result<std::vector<index::UserTotal>> users() override {
    SPILLFS_TRY(may_fail("users"));
    return SharedIndex::users();
  }
  Result<index::SyncMark> sync_mark() override {
    SPILLFS_TRY(may_fail("sync_mark"));
    return SharedIndex::sync_mark();
  }
  Result<std::uint64_t> reserve(index::Counter counter, std::uint64_t count) override {
    SPILLFS_TRY(may_fail("reserve"));
    return SharedIndex::reserve(counter, count);
  }

 private:
  Result<> may_fail(const char* call) {
    if (const auto fault = plan_->next(std::string("index ") + call))
      return fail(fault->code, "injected fault");
    return {};
  }

  const std::shared_ptr<storage::FaultPlan> plan_;
};

}  // namespace spillfs::tests
