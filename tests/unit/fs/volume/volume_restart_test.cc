// SPDX-License-Identifier: Apache-2.0
// What a process that dies right after an error, or between two steps of one operation, leaves to
// the next one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "fs/fuse/fuse_reply.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/shared.h"
#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL;

// Asks before each commit whether it goes through.
class WatchedIndex final : public SharedIndex {
 public:
  using Watch = std::function<Result<>(const index::Batch&)>;
  WatchedIndex(std::shared_ptr<Index> inner, const Watch& watch)
      : SharedIndex(std::move(inner)), watch_(watch) {}
  Result<> commit(const index::Batch& batch) override {
    if (watch_) SPILLFS_TRY(watch_(batch));
    return SharedIndex::commit(batch);
  }

 private:
  const Watch& watch_;
};

class VolumeRestart : public testing::Test {
 protected:
  VolumeRestart() { start(fs::Volume::Start::kMount); }

  void start(fs::Volume::Start how) {
    const bool again = how == fs::Volume::Start::kRestart;
    Fd staging(::dup(staging_.get()));
    Fd table(::dup(open_files_.get()));
    fs::Volume::Parts parts{
        .index = std::make_unique<WatchedIndex>(store_.index, watch_),
        .segments = store_.segments(),
        .staging = again ? storage::Staging::reopen(std::move(staging), kMiB).value()
                         : storage::Staging::create(std::move(staging), kMiB).value(),
        .open_files = again ? fs::OpenFiles::reopen(std::move(table)).value()
                            : fs::OpenFiles::create(std::move(table)).value(),
        .start = how,
        .take_back = [this](int id) { kernel_.lent.erase(id); }};  // some that it never had as well
    volume_ = fs::Volume::open(std::move(parts),
                               {.fuse_limit = 32 * kKiB, .reclaim_in_background = false})
                  .value();
    volume_->set_kernel(kernel_.side());
  }
  // The process is gone: what it would still do it does after the test.
  void die_and_restart() {
    dead_.push_back(std::move(volume_));
    start(fs::Volume::Start::kRestart);
  }

  fs::Opened create(const std::string& name, int flags) {
    return volume_->create(kRootInode, name, 0644, flags, {.request = RequestId{++requests_}})
        .value();
  }
  static InodeId id_of(const fs::Opened& file) { return InodeId{file.attributes.st_ino}; }
  [[nodiscard]] std::unique_ptr<fs::OpenFiles> table() const {
    return fs::OpenFiles::reopen(Fd(::dup(open_files_.get()))).value();
  }

  TestStore store_{1};
  WatchedIndex::Watch watch_;
  FakeKernel kernel_;
  Fd staging_{::memfd_create("staging", MFD_CLOEXEC)};
  Fd open_files_{::memfd_create("open files", MFD_CLOEXEC)};
  std::uint64_t requests_ = 0;
  std::vector<std::unique_ptr<fs::Volume>> dead_;
  std::unique_ptr<fs::Volume> volume_;
};

const std::string kLarge(100'000, 'x');

TEST_F(VolumeRestart, ATruncationThatFailedCutsNothing) {
  kernel_.refusal = EPERM;
  const fs::Opened file = create("a", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_TRUE(volume_->write(file.handle, as_bytes(kLarge), 0));
  ASSERT_TRUE(volume_->flush(file.handle));
  watch_ = [](const index::Batch&) { return fail(EIO, "no commit"); };
  ASSERT_FALSE(volume_->set_attributes(id_of(file), {.size = 10}));
  watch_ = {};
  die_and_restart();
  EXPECT_EQ(volume_->get_attributes(id_of(file))->st_size, static_cast<off_t>(kLarge.size()));
}

TEST_F(VolumeRestart, ASegmentIsGivenUpOnlyWhenTheNextProcessDoesNotKnowIt) {
  const fs::Opened file = create("a", kNew);
  ASSERT_TRUE(volume_->write(file.handle, as_bytes(kLarge), 0));
  bool given_up = false;
  watch_ = [&](const index::Batch& batch) -> Result<> {
    if (!batch.put_inodes.empty()) return fail(EIO, "no seal");
    for (const index::QueueEntry& entry : batch.put_queue) {
      if (entry.kind != index::QueueKind::kDead) continue;
      given_up = true;
      for (const auto& [row, open] : table()->files()) {
        EXPECT_NE(open.segment, SegmentId{entry.id});
      }
    }
    return {};
  };
  EXPECT_FALSE(volume_->release(file.handle));
  EXPECT_TRUE(given_up);
  watch_ = {};
}

TEST_F(VolumeRestart, WhatAStreamHadSetAsideGoes) {
  const fs::Opened file = create("a", kNew);
  ASSERT_TRUE(volume_->write(file.handle, as_bytes(kLarge), 0));
  ASSERT_TRUE(volume_->write(file.handle, as_bytes("end"), kLarge.size()));
  EXPECT_GT(backing_file(store_, id_of(file))->status()->allocated, 128 * kKiB);
  die_and_restart();
  ASSERT_TRUE(volume_->release(file.handle));
  EXPECT_LE(backing_file(store_, id_of(file))->status()->allocated, 102'400U);
}

// It died between the two stores that close a file.
TEST_F(VolumeRestart, AnUnlinkedFileWithoutHandlesGivesItsChargeBack) {
  const fs::Opened file = create("a", kNew);
  ASSERT_TRUE(volume_->write(file.handle, as_bytes(kLarge), 0));
  ASSERT_TRUE(volume_->unlink(kRootInode, "a"));
  table()->remove(file.handle);
  die_and_restart();
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(volume_->status().charged, 0U);
  EXPECT_EQ(volume_->status().dead, 0U);
}

TEST_F(VolumeRestart, AFileThatIsLostWhileTheKernelWritesItEndsNoOther) {
  const fs::Opened file = create("a", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_EQ(file.mode, fs::IoMode::kPassthrough);
  const auto segment = store_.index->segments(SegmentKind::kPrivate, kNoSegment, 1).value().at(0);
  ASSERT_TRUE(store_.devices[0]->remove(storage::segment_path(segment.kind, segment.id)));
  die_and_restart();
  EXPECT_EQ(volume_->get_attributes(id_of(file)).error().code, EIO);
  EXPECT_FALSE(volume_->release(file.handle));
}

// It died between the two stores that close a file, and then once more.
TEST_F(VolumeRestart, TheKernelKeepsNoBackingFileOfAClosedOne) {
  const fs::Opened file = create("a", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_EQ(kernel_.lent.size(), 1U);
  table()->remove(file.handle);
  std::set<int> lent_at_the_seal{-1};
  watch_ = [&](const index::Batch&) -> Result<> {
    lent_at_the_seal = kernel_.lent;
    return {};
  };
  die_and_restart();
  watch_ = {};
  EXPECT_TRUE(kernel_.lent.empty());
  EXPECT_TRUE(lent_at_the_seal.empty()) << "until then its row tells the next process";
}

TEST_F(VolumeRestart, TimesSetBesideAPassthroughWriterStay) {
  const fs::Opened file = create("a", O_RDWR | O_CREAT | O_EXCL);
  ASSERT_EQ(file.mode, fs::IoMode::kPassthrough);
  const auto backing = backing_file(store_, id_of(file));
  ASSERT_TRUE(backing->write(as_bytes(kLarge), 0));
  const index::Time wanted{.seconds = 1'000'000'000, .nanoseconds = 5};
  ASSERT_TRUE(volume_->set_attributes(id_of(file),
                                      {.modified = fs::SetTime{.now = false, .time = wanted}}));
  die_and_restart();
  EXPECT_EQ(volume_->get_attributes(id_of(file))->st_mtim.tv_sec, wanted.seconds);
  ASSERT_TRUE(backing->write(as_bytes("more"), kLarge.size()));
  die_and_restart();
  EXPECT_GT(volume_->get_attributes(id_of(file))->st_mtim.tv_sec, wanted.seconds);
}

TEST_F(VolumeRestart, ARequestThatHasToWaitAfterItsChangeDoesItOnce) {
  const fs::Once once{.volume = *volume_, .number = {.id = RequestId{7}, .again = false}};
  const auto make = [&](RequestId request) -> Result<fs::Attributes> {
    SPILLFS_TRY(volume_->mkdir(kRootInode, "d", 0755, {.request = request}));
    return fail(fs::kWaitForSpace, "later");
  };
  const auto again = [&](InodeId made) { return volume_->get_attributes(made); };
  auto attempt = fs::only_once(once, make, again);
  EXPECT_EQ(attempt().error().code, fs::kWaitForSpace);
  EXPECT_TRUE(attempt());
}

}  // namespace
}  // namespace spillfs::tests
