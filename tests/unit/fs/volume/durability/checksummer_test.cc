// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/checksummer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "index/index.h"
#include "storage/base/checksum.h"
#include "storage/memory_device.h"

namespace spillfs::fs {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

struct Known {
  std::shared_ptr<storage::File> file;
  std::uint64_t length = 0;
  bool may_be_written = false;
  std::atomic<bool> changed{false};
  std::vector<std::uint64_t> sums;
  std::atomic<bool> finished{false};
};

class Begun : public FileToSum {
 public:
  Begun(InodeId id, Known& known, std::vector<InodeId>& turns)
      : id_(id), known_(known), turns_(turns) {}
  [[nodiscard]] std::uint64_t length() const override { return known_.length; }
  bool unchanged() override { return !known_.changed; }
  Result<std::shared_ptr<storage::File>> open() override {
    turns_.push_back(id_);
    return known_.file;
  }
  Result<> keep(std::uint64_t first, std::vector<std::uint64_t> sums) override {
    EXPECT_EQ(first % index::kSumsPerRow, 0U);
    EXPECT_EQ(first, known_.sums.size());
    known_.sums.insert(known_.sums.end(), sums.begin(), sums.end());
    return {};
  }
  Result<> finish() override {
    known_.finished = true;
    return {};
  }

 private:
  const InodeId id_;
  Known& known_;
  std::vector<InodeId>& turns_;
};

class ChecksummerTest : public testing::Test, public FilesToSum {
 protected:
  Result<std::unique_ptr<FileToSum>> begin(InodeId id) override {
    Known& known = files_.at(number(id));
    if (known.may_be_written) return fail(EAGAIN, "it is open");
    return std::make_unique<Begun>(id, known, turns_);
  }
  Known& make(std::uint64_t id, std::uint64_t length) {
    Known& known = files_[id];
    known.file = device_.create("segments/" + std::to_string(id)).value();
    EXPECT_TRUE(known.file->resize(length));
    known.length = length;
    return known;
  }
  static void write(Known& known, std::uint64_t offset, const std::string& text) {
    EXPECT_TRUE(known.file->write(as_bytes(text), offset));
  }
  // Without the help of holes.
  static std::vector<std::uint64_t> expected(Known& known) {
    std::vector<std::byte> all(known.length);
    EXPECT_EQ(known.file->read(all, 0).value(), known.length);
    return chunk_sums(all);
  }

  storage::MemoryDevice device_{4 * kGiB};
  std::map<std::uint64_t, Known> files_;
  std::vector<InodeId> turns_;
};

TEST_F(ChecksummerTest, MakesTheSumsOfBytesAndHoles) {
  Known& known = make(5, 7 * kMiB + 100);
  write(known, 2 * kMiB + 5, "bytes");
  write(known, 7 * kMiB, "end");
  Checksummer sums(*this, {});
  sums.add(InodeId{5}, 1000);
  EXPECT_EQ(sums.status().files, 1U);
  sums.run_due();
  EXPECT_TRUE(known.finished);
  EXPECT_EQ(known.sums, expected(known));
  EXPECT_EQ(sums.status().bytes, kMiB + 100) << "holes are not read";
  EXPECT_EQ(sums.status().files, 0U);
}

TEST_F(ChecksummerTest, WaitsWhileTheFileMayBeWritten) {
  Known& known = make(5, kMiB);
  known.may_be_written = true;
  Checksummer sums(*this, {});
  sums.add(InodeId{5}, 1000);
  sums.run_due();
  EXPECT_EQ(sums.status().files, 1U);
  known.may_be_written = false;
  sums.run_due();
  EXPECT_TRUE(known.finished);
}

TEST_F(ChecksummerTest, UsersTakeTurns) {
  // More pieces than one, of holes as well.
  for (std::uint64_t id : {1, 2}) make(id, 40'000 * kMiB);
  make(3, kMiB);
  Checksummer sums(*this, {});
  for (std::uint64_t id : {1, 2}) sums.add(InodeId{id}, 1000);
  sums.add(InodeId{3}, 1001);
  sums.run_due();
  EXPECT_THAT(turns_, ElementsAre(InodeId{1}, InodeId{3}, InodeId{1}, InodeId{1}, InodeId{2},
                                  InodeId{2}, InodeId{2}));
  EXPECT_EQ(files_[2].sums.size(), 40'000U);
}

TEST_F(ChecksummerTest, LeavesAFileThatChanges) {
  Known& known = make(5, 40'000 * kMiB);
  Checksummer sums(*this, {});
  sums.add(InodeId{5}, 1000);
  known.changed = true;
  sums.run_due();
  EXPECT_FALSE(known.finished);
  EXPECT_TRUE(known.sums.empty());
}

TEST_F(ChecksummerTest, StopsInTheMiddleOfAFile) {
  Known& known = make(5, 64 * kMiB);
  write(known, 0, std::string(64 * kMiB, 'x'));
  Checksummer sums(*this, {.rate = 1});  // a month for a chunk
  sums.start();
  sums.add(InodeId{5}, 1000);
  while (sums.status().bytes == 0) std::this_thread::sleep_for(1ms);
  sums.stop();
  EXPECT_EQ(sums.status().bytes, kMiB);
  EXPECT_FALSE(known.finished);
}

TEST_F(ChecksummerTest, DelaysAndIsAskedAgain) {
  Known& known = make(5, kMiB);
  Checksummer sums(*this, {.delay = 1h});
  sums.add(InodeId{5}, 1000);
  sums.add(InodeId{5}, 1000);
  EXPECT_EQ(sums.status().files, 1U);
  sums.run_due();
  EXPECT_FALSE(known.finished);
}

TEST(Checksums, ASizeThatCostsNothingIsNotWorthSums) {
  constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;
  EXPECT_FALSE(is_worth_sums(8 * kTiB, 0));
  EXPECT_FALSE(is_worth_sums(8 * kTiB, 10 * kGiB));
  EXPECT_TRUE(is_worth_sums(8 * kTiB, 8 * kTiB));
  EXPECT_TRUE(is_worth_sums(8 * kTiB, 2 * kTiB));
  EXPECT_TRUE(is_worth_sums(kGiB, 0));
  EXPECT_TRUE(is_worth_sums(0, 0));
}

}  // namespace
}  // namespace spillfs::fs
