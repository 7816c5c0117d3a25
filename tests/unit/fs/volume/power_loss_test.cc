// SPDX-License-Identifier: Apache-2.0
// What a loss of power does to single files, step by step; tests/model/power_loss_test.cc has all
// together.
#include "tests/support/power_loss.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "fs/volume/durability/syncer.h"
#include "storage/faulty_device.h"
#include "tests/support/test_store.h"

namespace spillfs::fs {
namespace {

using tests::PowerDevice;
using tests::PowerIndex;

class PowerLossTest : public testing::Test {
 protected:
  PowerLossTest() { plug_in(std::make_shared<PowerIndex>(), std::make_shared<PowerDevice>()); }

  static BootView boot(std::string id) { return {.boot = {.id = std::move(id), .certain = true}}; }
  void plug_in(std::shared_ptr<PowerIndex> index, std::shared_ptr<PowerDevice> device) {
    volume_.reset();
    index_ = std::move(index);
    device_ = std::move(device);
    store_.index = index_;
    store_.devices[0] = device_;
    const VolumeOptions options{.fuse_limit = 32 * kKiB,
                                .reclaim_in_background = false,
                                .boot = boot("boot " + std::to_string(++boots_))};
    volume_ = store_.open(options).value();
  }
  // Of the index all is left, of the segments what was synced: the worst there is.
  void lose_power() {
    ASSERT_TRUE(index_->sync());
    auto index = index_->lose_power(random_);
    plug_in(std::move(index), device_->lose_power_with_nothing_unsynced());
  }

  HandleId open(const std::string& name, int flags = O_WRONLY | O_CREAT | O_TRUNC) {
    return volume_->create(kRootInode, name, 0644, flags, {}).value().handle;
  }
  void close(HandleId handle) {
    EXPECT_TRUE(volume_->flush(handle));
    EXPECT_TRUE(volume_->release(handle));
  }
  void write(const std::string& name, const std::string& bytes) {
    const HandleId handle = open(name);
    EXPECT_TRUE(volume_->write(handle, as_bytes(bytes), 0));
    close(handle);
  }
  void fsync(const std::string& name) {
    const HandleId handle = open(name, O_RDWR);
    EXPECT_TRUE(volume_->fsync(handle));
    close(handle);
  }
  // "ENOENT" or the like instead where it can't be read.
  std::string read(const std::string& name) {
    const auto found = volume_->lookup(kRootInode, name);
    if (!found) return "no name";
    const auto opened = volume_->open_file(InodeId{found->st_ino}, O_RDONLY);
    if (!opened) return "error " + std::to_string(opened.error().code);
    std::string bytes(static_cast<std::size_t>(opened->attributes.st_size), '?');
    EXPECT_TRUE(volume_->read(opened->handle, std::as_writable_bytes(std::span(bytes)), 0));
    EXPECT_TRUE(volume_->release(opened->handle));
    return bytes;
  }

  const std::string large_ = std::string(100'000, 'L');  // a private segment's
  const std::string gone_ = "error " + std::to_string(ENOENT);
  tests::Random random_{1};
  tests::TestStore store_{1};
  std::shared_ptr<PowerIndex> index_;
  std::shared_ptr<PowerDevice> device_;
  int boots_ = 0;
  std::unique_ptr<Volume> volume_;
};

TEST_F(PowerLossTest, AFileThatIsNotWholeIsGone) {
  write("small", "bytes");
  write("large", large_);
  write("empty", "");
  lose_power();
  EXPECT_TRUE(volume_->is_doubtful(InodeId{volume_->lookup(kRootInode, "small")->st_ino}));
  EXPECT_EQ(read("small"), gone_);
  EXPECT_EQ(read("small"), "no name");
  EXPECT_EQ(read("large"), gone_);
  EXPECT_EQ(read("empty"), "");
  EXPECT_EQ(volume_->list(kRootInode, 2, 10)->size(), 1U);
}

TEST_F(PowerLossTest, AFileThatWasSyncedIsThere) {
  write("small", "bytes");
  write("large", large_);
  fsync("small");
  fsync("large");
  write("other", "never");
  lose_power();
  EXPECT_EQ(read("small"), "bytes");
  EXPECT_EQ(read("large"), large_);
  EXPECT_EQ(read("other"), gone_);
}

TEST_F(PowerLossTest, ASyncOfEverythingIsOneOfOpenFilesToo) {
  write("small", "bytes");
  write("large", large_);
  write("again", "first");
  fsync("again");
  const HandleId staged = open("staged");
  ASSERT_TRUE(volume_->write(staged, as_bytes("written and not closed"), 0));
  const HandleId stream = open("stream");
  ASSERT_TRUE(volume_->write(stream, as_bytes(large_), 0));
  const HandleId changed = open("again", O_RDWR);
  ASSERT_TRUE(volume_->write(changed, as_bytes("other"), 0));
  ASSERT_TRUE(volume_->sync_everything());
  auto index = index_->lose_power(random_);
  plug_in(std::move(index), device_->lose_power_with_nothing_unsynced());
  EXPECT_EQ(read("small"), "bytes");
  EXPECT_EQ(read("large"), large_);
  EXPECT_EQ(read("staged"), "written and not closed");
  EXPECT_EQ(read("stream"), large_);
  EXPECT_EQ(read("again"), "other");
}

TEST_F(PowerLossTest, WhatHasBeenRemovedIsNotOpenedByItsNumber) {
  write("file", large_);
  lose_power();
  const InodeId id{volume_->lookup(kRootInode, "file")->st_ino};
  ASSERT_TRUE(volume_->prove_all());
  EXPECT_EQ(volume_->open_file(id, O_RDONLY).error().code, ENOENT);
}

TEST_F(PowerLossTest, ScrubLeavesDoubtfulFilesAlone) {
  write("small", "bytes");
  write("large", large_);
  lose_power();
  const auto scrub = [&] {
    std::size_t damage = 0;
    for (SegmentId at = kNoSegment;;) {
      const auto found = volume_->scrub_next(at, {.pace = [](std::uint64_t) { return true; }});
      if (!found) return damage;
      damage += found->damage.size();
      at = found->segment;
    }
  };
  EXPECT_EQ(scrub(), 0U);
  EXPECT_EQ(volume_->status().damaged, 0U);
  ASSERT_TRUE(volume_->prove_all());
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(scrub(), 0U);
  EXPECT_EQ(read("small"), "no name");
}

TEST_F(PowerLossTest, CheckLeavesToTheNextMountWhatThePowerTook) {
  write("small", "bytes");
  write("large", large_);
  ASSERT_TRUE(index_->sync());
  auto index = index_->lose_power(random_);
  auto device = device_->lose_power_with_nothing_unsynced();
  ASSERT_TRUE(device->create("segments/900.private"));
  volume_.reset();
  store_.index = std::move(index);
  store_.devices[0] = std::move(device);
  store_.boot = "boot " + std::to_string(boots_);
  EXPECT_NE(store_.problems(), "");
  store_.boot = "another boot";
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(PowerLossTest, AFileThatIsSealedAgainDuringItsSyncStaysThere) {
  const HandleId handle = open("file");
  ASSERT_TRUE(volume_->write(handle, as_bytes("bytes"), 0));
  std::promise<void> sealed_again;
  volume_->make_names_durable([&](const Result<>&) { sealed_again.get_future().wait(); });
  Result<> synced = fail(EIO, "not yet");
  volume_->make_durable(handle, [&](const Result<>& done) { synced = done; });
  ASSERT_TRUE(volume_->write(handle, as_bytes(large_), 0));
  ASSERT_TRUE(volume_->flush(handle));
  sealed_again.set_value();
  volume_->finish_syncs();
  EXPECT_TRUE(synced);
  EXPECT_TRUE(volume_->release(handle));
  lose_power();
  EXPECT_EQ(read("file"), large_);
}

TEST_F(PowerLossTest, SyncAllSyncsEverything) {
  write("small", "bytes");
  write("large", large_);
  ASSERT_TRUE(volume_->sync_all());
  EXPECT_FALSE(volume_->status().unsynced);
  write("later", "never");
  lose_power();
  EXPECT_FALSE(volume_->is_doubtful(InodeId{volume_->lookup(kRootInode, "small")->st_ino}));
  EXPECT_EQ(read("small"), "bytes");
  EXPECT_EQ(read("large"), large_);
  EXPECT_EQ(read("later"), gone_);
}

TEST_F(PowerLossTest, AFileThatWasOnDiskStaysThere) {
  write("fsynced", "old");
  fsync("fsynced");
  write("synced", large_);
  ASSERT_TRUE(volume_->sync_all());
  write("fsynced", "new");
  write("synced", large_ + large_);
  ASSERT_TRUE(volume_->reclaim_now());  // frees what they were
  lose_power();
  EXPECT_EQ(read("fsynced"), "new");
  EXPECT_EQ(read("synced"), large_ + large_);
}

TEST_F(PowerLossTest, ARecycledSegmentShowsNoOtherFilesBytes) {
  write("dead", large_);
  ASSERT_TRUE(volume_->sync_all());
  ASSERT_TRUE(volume_->unlink(kRootInode, "dead"));
  ASSERT_TRUE(volume_->reclaim_now());
  ASSERT_GT(volume_->status().pool, 0U);
  const HandleId handle = open("secret", O_RDWR | O_CREAT);
  ASSERT_TRUE(volume_->write(handle, as_bytes(large_), 0));
  ASSERT_TRUE(volume_->write(handle, as_bytes("in place"), 500));  // and no sums any more
  close(handle);
  ASSERT_TRUE(device_->sync_folder("segments"));
  EXPECT_EQ(volume_->status().pool, 0U) << "recycled";
  lose_power();
  EXPECT_EQ(read("secret"), gone_);
}

TEST_F(PowerLossTest, DoubtOutlivesAnotherLoss) {
  write("first", "bytes");
  lose_power();
  write("second", "bytes");
  ASSERT_TRUE(volume_->sync_all());
  lose_power();
  EXPECT_TRUE(volume_->is_doubtful(InodeId{volume_->lookup(kRootInode, "first")->st_ino}));
  EXPECT_FALSE(volume_->is_doubtful(InodeId{volume_->lookup(kRootInode, "second")->st_ino}));
  ASSERT_TRUE(volume_->prove_all());
  EXPECT_EQ(read("first"), "no name");
  EXPECT_EQ(read("second"), "bytes");
  EXPECT_TRUE(index_->sync_mark()->doubtful.empty());
}

TEST_F(PowerLossTest, AnEndInOrderLeavesNothingInDoubt) {
  write("file", large_);
  volume_.reset();
  EXPECT_EQ(index_->sync_mark()->epoch, index_->sync_mark()->synced);
  lose_power();
  EXPECT_TRUE(index_->sync_mark()->doubtful.empty());
  EXPECT_EQ(read("file"), large_);
}

TEST_F(PowerLossTest, TheSameBootDoubtsNothing) {
  write("file", "bytes");
  volume_.reset();
  --boots_;
  plug_in(index_, device_);
  EXPECT_FALSE(volume_->is_doubtful(InodeId{volume_->lookup(kRootInode, "file")->st_ino}));
}

TEST_F(PowerLossTest, SegmentsOfNobodyGo) {
  lose_power();
  ASSERT_TRUE(device_->create("segments/1.fused"));
  ASSERT_TRUE(device_->create("segments/900.private"));
  ASSERT_TRUE(device_->sync_all());
  lose_power();
  EXPECT_TRUE(device_->list("segments")->empty());
  write("file", "bytes");
  EXPECT_EQ(read("file"), "bytes");
}

TEST(SyncFailure, PutsNoMarkAnyMore) {
  const tests::TestStore store(1);
  const auto plan = std::make_shared<storage::FaultPlan>();
  tests::TestStore faulty(1);
  faulty.index = store.index;
  faulty.devices[0] = std::make_shared<storage::FaultyDevice>(store.devices[0], plan);
  const auto volume = faulty.open({.reclaim_in_background = false}).value();
  const auto opened = volume->create(kRootInode, "file", 0644, O_WRONLY | O_CREAT, {}).value();
  ASSERT_TRUE(volume->flush(opened.handle));
  plan->fail_at(1, {.code = EIO});
  EXPECT_EQ(volume->sync_all().error().code, EIO);
  ASSERT_TRUE(plan->fired());
  const auto mark = store.index->sync_mark().value();
  ASSERT_TRUE(volume->release(opened.handle));
  ASSERT_TRUE(volume->sync_all()) << "of names";
  EXPECT_EQ(volume->sync_everything().error().code, EIO) << "who asks is told";
  EXPECT_EQ(store.index->sync_mark()->synced, mark.synced);
}

// Those who wait are answered together, each file having been synced once.
TEST(Syncer, AnswersManyAtOnce) {
  tests::TestStore store(1);
  const auto plan = std::make_shared<storage::FaultPlan>();
  store.devices[0] = std::make_shared<storage::FaultyDevice>(store.devices[0], plan);
  const auto segments = store.segments();
  const auto fused = segments->create_fused(SegmentId{1}, DirectoryId{0}).value();
  Syncer syncer(*segments, *store.index);
  ASSERT_TRUE(syncer.run({}));
  std::atomic<int> answered{0};
  std::promise<void> first;
  syncer.add({.file = nullptr,
              .location = {},
              .then = [&]() -> Result<> {
                first.get_future().wait();
                return {};
              },
              .done = [&](const Result<>& synced) { answered += synced ? 1 : 0; }});
  plan->clear();
  for (int i = 0; i < 10; ++i) {
    syncer.add({.file = fused->file(),
                .location = {.segment = SegmentId{1}},
                .then = [i]() -> Result<> { return i == 3 ? fail(EIO, "one") : Result<>(); },
                .done = [&](const Result<>& synced) { answered += synced ? 1 : 0; }});
  }
  first.set_value();
  syncer.drain();
  EXPECT_EQ(answered, 10) << "all but the one that failed";
  EXPECT_LE(syncer.groups(), 3U);
  EXPECT_EQ(syncer.requests(), 12U);
  EXPECT_EQ(plan->count(), 3U) << "the file and the two folders";
}

}  // namespace
}  // namespace spillfs::fs
