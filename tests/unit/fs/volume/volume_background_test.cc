// SPDX-License-Identifier: Apache-2.0
// What users make endless, and what bounds it: sparse files, deep directories, long lists.
#include <gmock/gmock.h>

#include <chrono>

#include "fs/control/control_files.h"
#include "fs/control/object_folder.h"
#include "storage/ray_scanner.h"
#include "tests/support/damage.h"

namespace spillfs::tests {
namespace {

constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;

class VolumeBackground : public DamagedStore {
 protected:
  void SetUp() override { open(); }

  InodeId sparse(const std::string& name, std::uint64_t size) {
    const InodeId id = write(kRootInode, name, "bytes");
    EXPECT_TRUE(volume_->set_attributes(id, {.size = size}));
    const auto opened = volume_->open_file(id, O_RDWR).value();
    EXPECT_TRUE(volume_->release(opened.handle));
    return id;
  }
  fs::Scrubbed scrub() {
    fs::Scrubbed all;
    for (SegmentId at = kNoSegment;;) {
      const auto found = volume_->scrub_next(at, {.pace = [](std::uint64_t) { return true; }});
      if (!found) return all;
      at = found->segment;
      all.bytes += found->bytes;
      all.files += found->files;
      all.unsummed += found->unsummed;
      all.damage.insert(all.damage.end(), found->damage.begin(), found->damage.end());
    }
  }
  void change(InodeId id, std::uint64_t offset, const std::string& text) {
    const auto opened = volume_->open_file(id, O_RDWR).value();
    EXPECT_TRUE(volume_->write(opened.handle, as_bytes(text), offset));
    EXPECT_TRUE(volume_->release(opened.handle));
  }
};

TEST_F(VolumeBackground, AFileThatIsMostlyHolesHasNoSums) {
  const InodeId id = sparse("huge", 8 * kTiB);
  volume_->sum_now();
  EXPECT_FALSE(row(id).sums_valid);
  EXPECT_TRUE(store_.index->sums(row(id).location.segment, 1, 1)->empty());
  EXPECT_EQ(volume_->status().waiting_for_sums, 0U);
  EXPECT_EQ(scrub().unsummed, 1U);
}

TEST_F(VolumeBackground, SumsOfHolesAreThoseOfZeros) {
  const InodeId id = sparse("sparse", 600 * kMiB + 77);
  change(id, 300 * kMiB, "in the middle");
  volume_->sum_now();
  EXPECT_TRUE(row(id).sums_valid);
  EXPECT_LE(volume_->status().summed, 2 * kMiB);
  const auto seen = scrub();
  EXPECT_TRUE(seen.damage.empty());
  EXPECT_EQ(seen.files, 1U);
  EXPECT_LE(seen.bytes, 2 * kMiB);
  EXPECT_EQ(store_.problems(), "");
  // A hole where there should be none, and bytes where there should be a hole.
  flip_in(id, 500 * kMiB);
  EXPECT_EQ(scrub().damage.size(), 1U);
  flip_in(id, 500 * kMiB);
  ASSERT_TRUE(backing(id)->allocate(storage::AllocateMode::kPunchHole, 300 * kMiB, kMiB));
  EXPECT_EQ(scrub().damage.at(0).offset, 300 * kMiB);
}

TEST_F(VolumeBackground, AScrubHandsOverWhatHasNoSums) {
  const InodeId id = sparse("sparse", 3 * kMiB);
  open();  // and what waited is forgotten
  EXPECT_EQ(volume_->status().waiting_for_sums, 0U);
  EXPECT_EQ(scrub().unsummed, 1U);
  volume_->sum_now();
  EXPECT_TRUE(row(id).sums_valid);
}

TEST_F(VolumeBackground, AFileThatIsRemovedUnderAScrubIsLeftAlone) {
  write(kRootInode, "large", std::string(5 * kMiB, 'l'));
  int chunks = 0;
  const auto found =
      volume_->scrub_next(kNoSegment, {.pace = [&](std::uint64_t) {
                            EXPECT_TRUE(++chunks != 1 || volume_->unlink(kRootInode, "large"));
                            return true;
                          }});
  EXPECT_TRUE(found);
  EXPECT_EQ(chunks, 1);
}

// Each seal of a stream puts the sums that are new, and those of all are right.
TEST_F(VolumeBackground, ALongStreamIsSealedAgainAndAgain) {
  const auto made = volume_->create(kRootInode, "stream", 0640, O_WRONLY, {}).value();
  const InodeId id{made.attributes.st_ino};
  std::uint64_t size = 0;
  const auto append = [&](const std::string& bytes) {
    ASSERT_TRUE(volume_->write(made.handle, as_bytes(bytes), size));
    size += bytes.size();
    ASSERT_TRUE(volume_->flush(made.handle));
    EXPECT_TRUE(row(id).sums_valid);
    EXPECT_EQ(store_.index->sums(row(id).location.segment, 0, 1000)->size(), chunk_count(size));
  };
  for (int i = 0; i < 3; ++i) {
    append(std::string(100 * kMiB, static_cast<char>('a' + i)));
    append("x");
  }
  EXPECT_EQ(store_.problems(), "");
  ASSERT_TRUE(volume_->set_attributes(id, {.size = 0}));
  size = 0;
  ASSERT_TRUE(volume_->write(made.handle, as_bytes(std::string(3 * kMiB, 'z')), 0));
  ASSERT_TRUE(volume_->release(made.handle));
  EXPECT_TRUE(row(id).sums_valid);
  EXPECT_EQ(store_.problems(), "");
}

TEST_F(VolumeBackground, DirectoriesMoveAsDeepAsPathsGo) {
  InodeId at = kRootInode;
  InodeId below{};
  for (int level = 0; level < 4200; ++level) {
    at = InodeId{volume_->mkdir(at, "d", 0755, {})->st_ino};
    if (level == 4000) below = at;
  }
  const InodeId moved{volume_->mkdir(kRootInode, "moved", 0755, {})->st_ino};
  ASSERT_TRUE(volume_->mkdir(moved, "inside", 0755, {}));
  EXPECT_EQ(volume_->rename(kRootInode, "moved", at, "m", 0).error().code, ENAMETOOLONG);
  EXPECT_TRUE(volume_->rename(kRootInode, "moved", below, "m", 0));
  EXPECT_TRUE(volume_->rename(below, "m", kRootInode, "back", 0));
  ASSERT_TRUE(volume_->rmdir(moved, "inside"));
  EXPECT_TRUE(volume_->rename(kRootInode, "back", at, "leaf", 0)) << "nothing can be inside it";
  const auto found = volume_->lookup(kRootInode, "d");
  EXPECT_EQ(volume_->rename(kRootInode, "d", InodeId{found->st_ino}, "x", 0).error().code, EINVAL);
}

TEST_F(VolumeBackground, XattrsFitIntoAList) {
  const InodeId id = write(kRootInode, "file", "bytes");
  const std::string name = "user." + std::string(240, 'n');
  int made = 0;
  Result<> set;
  while ((set = volume_->set_xattr(id, name + std::to_string(made), "v", 0))) ++made;
  EXPECT_EQ(set.error().code, ENOSPC);
  EXPECT_GT(made, 250);
  std::size_t length = 0;
  const auto names = volume_->list_xattrs(id).value();
  for (const auto& listed : names) length += listed.size() + 1;
  EXPECT_LE(length, 64 * kKiB);
  EXPECT_TRUE(volume_->set_xattr(id, name + "0", "another value", 0));
  EXPECT_TRUE(volume_->remove_xattr(id, name + "0"));
  EXPECT_TRUE(volume_->set_xattr(id, name + "x", "v", 0));
}

// `count` objects of a header and `length` bytes each.
std::string objects(std::uint64_t count, std::uint64_t length) {
  const storage::RayHeader header{
      .owner_address_length = 0, .metadata_length = 0, .data_length = length};
  const std::string one = std::string(as_text(bytes_of(header))) + std::string(length, 'b');
  std::string all;
  for (std::uint64_t i = 0; i < count; ++i) all += one;
  return all;
}

TEST_F(VolumeBackground, HeadersFarApartAreCountedUpToALimit) {
  constexpr std::uint64_t kApart = 4096;
  const InodeId most = write(kRootInode, "most", objects(storage::HeaderWindows::kMost, kApart));
  EXPECT_EQ(volume_->ray_objects(most)->objects.size(), storage::HeaderWindows::kMost);
  const InodeId more =
      write(kRootInode, "more", objects(storage::HeaderWindows::kMost + 1, kApart));
  EXPECT_EQ(volume_->count_ray_objects(more).value(), 0U);
  EXPECT_TRUE(volume_->ray_objects(more)->objects.empty());
  const InodeId close = write(kRootInode, "close", objects(100'000, 8));
  EXPECT_EQ(volume_->ray_objects(close)->objects.size(), 100'000U);
}

}  // namespace
}  // namespace spillfs::tests
