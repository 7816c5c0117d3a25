// SPDX-License-Identifier: Apache-2.0
// A new index from the segments alone: names and bytes come back, what is doubtful is set aside.
#include "fs/repair/rebuild.h"

#include <gmock/gmock.h>

#include "tests/support/damage.h"

namespace spillfs::tests {
namespace {

using testing::HasSubstr;

class Rebuild : public DamagedStore {
 protected:
  void SetUp() override {
    open();
    folder_ = id(volume_->mkdir(kRootInode, "folder", 0755, {}));
    small_ = write(folder_, "small", small_bytes_);
    large_ = write(kRootInode, "large", large_bytes_);
  }
  static InodeId id(const Result<fs::Attributes>& found) {
    return found ? InodeId{found->st_ino} : InodeId{0};
  }
  // The index is lost, a new one is made, and the store opened with it.
  fs::RebuildReport rebuild() {
    volume_.reset();
    told_.clear();
    store_.index = std::make_shared<index::MemoryIndex>();
    const auto segments = store_.segments();
    const auto report = fs::rebuild_index(*store_.index, *segments,
                                          [&](const std::string& text) { told_ += text + "\n"; });
    EXPECT_TRUE(report) << describe(report.error());
    open();
    return report.value_or(fs::RebuildReport{});
  }
  // By its path.
  std::string bytes_of(const std::string& path) {
    InodeId at = kRootInode;
    for (std::size_t from = 1; from <= path.size();) {
      const std::size_t end = std::min(path.find('/', from), path.size());
      const auto found = volume_->lookup(at, path.substr(from, end - from));
      if (!found) return "error " + std::to_string(found.error().code);
      at = id(found);
      from = end + 1;
    }
    return read(at);
  }

  const std::string small_bytes_ = "small bytes";
  const std::string large_bytes_ = std::string(100 * kKiB, 'l');
  InodeId folder_{}, small_{}, large_{};
  std::string told_;
};

TEST_F(Rebuild, BringsBackNamesBytesModesAndOwners) {
  ASSERT_TRUE(volume_->set_xattr(small_, "user.spill.owner_address", "owner", 0));
  const auto again = volume_->open_file(small_, O_WRONLY | O_TRUNC).value();
  ASSERT_TRUE(volume_->write(again.handle, as_bytes(small_bytes_), 0));
  ASSERT_TRUE(volume_->release(again.handle));
  const auto report = rebuild();
  EXPECT_EQ(report.files, 2U);
  EXPECT_EQ(report.directories, 1U);
  EXPECT_EQ(report.lost + report.damaged + report.left_out, 0U) << told_;
  EXPECT_EQ(bytes_of("/folder/small"), small_bytes_);
  EXPECT_EQ(bytes_of("/large"), large_bytes_);
  for (InodeId inode : {small_, large_}) {
    const struct stat found = volume_->get_attributes(inode).value();
    EXPECT_EQ(found.st_mode, S_IFREG | 0640U);
    EXPECT_EQ(found.st_uid, 7U);
    EXPECT_EQ(found.st_gid, 8U);
  }
  EXPECT_EQ(volume_->get_xattr(small_, "user.spill.owner_address").value(), "owner");
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, NumbersGoOnAboveAllSeen) {
  rebuild();
  const InodeId made = write(kRootInode, "new", large_bytes_);
  EXPECT_GT(number(made), number(large_));
  EXPECT_GT(number(row(made).location.segment), number(row(large_).location.segment));
  const InodeId small = write(kRootInode, "newer", "s");
  ASSERT_EQ(row(small).location.placement, Placement::kFused);
  // A second loss: the file written since is newer than what the first one found.
  const auto again = volume_->open_file(small_, O_WRONLY | O_TRUNC).value();
  ASSERT_TRUE(volume_->write(again.handle, as_bytes("newest"), 0));
  ASSERT_TRUE(volume_->release(again.handle));
  rebuild();
  EXPECT_EQ(bytes_of("/folder/small"), "newest");
  EXPECT_EQ(bytes_of("/newer"), "s");
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, APrivateSegmentHasItsLengthAtTheLastSeal) {
  const auto again = volume_->open_file(large_, O_RDWR).value();
  ASSERT_TRUE(volume_->write(again.handle, as_bytes("more"), large_bytes_.size()));
  ASSERT_TRUE(volume_->flush(again.handle));
  const auto file = backing(large_);
  const auto identity =
      storage::decode_identity(file->attribute(storage::kIdentityAttribute).value()).value();
  EXPECT_EQ(identity.length, large_bytes_.size() + 4);
  EXPECT_EQ(identity.path, "/large");
  ASSERT_TRUE(volume_->release(again.handle));
  volume_.reset();
  // As a crash leaves what came after the seal, or what a recycled segment held before it.
  ASSERT_TRUE(file->write(as_bytes("another file's bytes"), large_bytes_.size() + 4));
  rebuild();
  EXPECT_EQ(bytes_of("/large"), large_bytes_ + "more");
}

TEST_F(Rebuild, OfTwoFilesWithOneNameTheOlderIsSetAside) {
  ASSERT_TRUE(volume_->unlink(folder_, "small"));
  write(folder_, "small", "its successor");
  const auto report = rebuild();
  EXPECT_EQ(report.lost, 1U);
  EXPECT_EQ(bytes_of("/folder/small"), "its successor");
  EXPECT_EQ(bytes_of("/lost+found/inode-" + std::to_string(number(small_))), small_bytes_);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, WhatHasNoIdentityIsSetAside) {
  ASSERT_TRUE(backing(large_)->set_attribute(storage::kIdentityAttribute, "spill"));
  EXPECT_EQ(rebuild().lost, 1U);
  EXPECT_THAT(told_, HasSubstr("does not say whose"));
  const auto folder = id(volume_->lookup(kRootInode, "lost+found"));
  const auto names = volume_->list(folder, 2, 10).value();
  ASSERT_EQ(names.size(), 1U);
  EXPECT_EQ(read(InodeId{names[0].attributes.st_ino}), large_bytes_);
  EXPECT_EQ(names[0].attributes.st_mode, S_IFREG | 0600U);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, WhatWasNeverSealedGoes) {
  const auto open_still = volume_->create(kRootInode, "unsealed", 0644, O_RDWR, {}).value();
  ASSERT_TRUE(volume_->write(open_still.handle, as_bytes("bytes"), 0));
  // As a crash leaves it: the Volume that would seal it at its end works on with the old index.
  const auto old_volume = std::move(volume_);
  EXPECT_EQ(rebuild().lost, 0U) << told_;
  EXPECT_EQ(bytes_of("/unsealed"), "error 2");
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, ABadRecordIsNeverAWrongByte) {
  const InodeId next = write(kRootInode, "next", "the next file's bytes");
  const auto file = backing(small_);
  const Location at = row(small_).location;
  const Location next_at = row(next).location;
  const std::uint64_t end = next_at.record_offset + next_at.record_length;
  int told = 0;
  for (std::uint64_t offset = at.record_offset; offset < end; ++offset) {
    flip(*file, offset, static_cast<unsigned>(offset % 8));
    const auto report = rebuild();
    if (report.damaged != 0) ++told;
    for (const auto& [inode, bytes] :
         {std::pair(small_, small_bytes_), std::pair(next, std::string("the next file's bytes"))}) {
      EXPECT_THAT(read(inode), testing::AnyOf(bytes, "error 5", "error 2")) << offset;
    }
    EXPECT_EQ(bytes_of("/large"), large_bytes_);
    volume_.reset();
    flip(*file, offset, static_cast<unsigned>(offset % 8));
  }
  // Only the zeros behind a record and inside its padding are nobody's.
  EXPECT_GT(told, static_cast<int>(end - at.record_offset) - 32);
  rebuild();
  EXPECT_EQ(bytes_of("/folder/small"), small_bytes_);
}

TEST_F(Rebuild, BehindALostHeaderFilesAreFoundAndSetAside) {
  const InodeId next = write(kRootInode, "next", "the next file's bytes");
  flip(*backing(small_), row(small_).location.record_offset);  // its magic
  const auto report = rebuild();
  EXPECT_EQ(report.damaged, 1U);
  EXPECT_EQ(report.lost, 1U);
  EXPECT_EQ(bytes_of("/lost+found/inode-" + std::to_string(number(next))), "the next file's bytes");
}

TEST_F(Rebuild, ASuperblockIsWrittenAnew) {
  flip(*backing(small_), 33);
  EXPECT_EQ(rebuild().damaged, 1U);
  EXPECT_EQ(bytes_of("/folder/small"), small_bytes_);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(Rebuild, AnOlderRecordIsNotTakenForANewerDamagedOne) {
  const auto again = volume_->open_file(small_, O_WRONLY | O_TRUNC).value();
  ASSERT_TRUE(volume_->write(again.handle, as_bytes("newer"), 0));
  ASSERT_TRUE(volume_->release(again.handle));
  flip_in(small_, 0);
  EXPECT_EQ(rebuild().lost, 1U);
  EXPECT_EQ(bytes_of("/folder/small"), "error 2");
  EXPECT_EQ(bytes_of("/lost+found/inode-" + std::to_string(number(small_))), small_bytes_);
}

TEST_F(Rebuild, AnotherStoresSegmentsStayOut) {
  storage::StoreId other{};
  other[0] = std::byte{1};
  const auto fused = backing(small_);
  ASSERT_TRUE(fused->write(storage::encode_superblock(other, row(small_).location.segment), 0));
  ASSERT_TRUE(backing(large_)->set_attribute(
      storage::kIdentityAttribute,
      storage::encode_identity({.store = other, .inode = large_, .length = 5, .path = "/large"})));
  const auto report = rebuild();
  EXPECT_EQ(report.files, 0U);
  EXPECT_EQ(report.left_out, 2U) << told_;
  ASSERT_TRUE(volume_->reclaim_now());
  EXPECT_EQ(store_.devices[0]->list("segments")->size(), 2U);
  // Nor do they go with the strays after a loss of power.
  for (const char* boot : {"one boot", "another"}) {
    volume_.reset();
    volume_ = store_.open({.boot = {.boot = {.id = boot, .certain = true}}}).value();
  }
  EXPECT_EQ(store_.devices[0]->list("segments")->size(), 2U);
}

}  // namespace
}  // namespace spillfs::tests
