// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/prover.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>

#include "index/memory_index.h"
#include "storage/base/checksum.h"
#include "storage/memory_device.h"
#include "tests/support/test_store.h"

namespace spillfs::fs {
namespace {

class ProverTest : public testing::Test, public DoubtfulFiles {
 protected:
  Result<std::unique_ptr<ByteProof>> begin(InodeId id) override {
    ++begun_;
    if (id == InodeId{13}) return fail(EIO, "the disk");
    if (!inodes_.contains(number(id))) return nullptr;
    return std::make_unique<ByteProof>(inodes_.at(number(id)), *store_.index, *segments_);
  }
  bool is_doubtful(InodeId id) override { return inodes_.contains(number(id)) && !gone_; }
  Result<> settle(const ByteProof& /*proof*/, ByteProof::Verdict verdict) override {
    ++settled_;
    if (verdict == ByteProof::Verdict::kLost) return fail(ENOENT, "the power took it");
    return {};
  }
  // A file of so many chunks, all 'x'.
  void make(std::uint64_t id, std::uint64_t chunks) {
    auto file =
        store_.devices[0]->create(storage::segment_path(SegmentKind::kPrivate, SegmentId{id}));
    const std::string chunk(kChunk, 'x');
    for (std::uint64_t i = 0; i < chunks; ++i) {
      ASSERT_TRUE((*file)->write(as_bytes(chunk), i * kChunk));
    }
    inodes_[id] = {.id = InodeId{id},
                   .location = {.placement = Placement::kPrivate,
                                .segment = SegmentId{id},
                                .length = chunks * kChunk},
                   .sums_valid = true};
    const std::vector<std::uint64_t> sums(chunks, xxh3(as_bytes(chunk)));
    ASSERT_TRUE(store_.index->commit({.put_sums = {{SegmentId{id}, sums}}}));
  }
  // The error of what is answered, or 0.
  static int ask(Prover& prover, std::uint64_t id) {
    std::promise<int> answer;
    prover.ask(InodeId{id}, 1000,
               [&](const Result<>& done) { answer.set_value(done ? 0 : done.error().code); });
    return answer.get_future().get();
  }

  tests::TestStore store_{1};
  std::unique_ptr<storage::SegmentStore> segments_ = store_.segments();
  std::map<std::uint64_t, index::Inode> inodes_;
  std::atomic<int> begun_{0};
  std::atomic<int> settled_{0};
  std::atomic<bool> gone_{false};
};

TEST_F(ProverTest, TellsWhoWaits) {
  make(5, 40);
  make(6, 2);
  inodes_[6].location.length += kChunk;  // beyond what is there
  Prover prover(*this);
  EXPECT_FALSE(prover.started());
  prover.start();
  EXPECT_EQ(ask(prover, 5), 0);
  EXPECT_EQ(ask(prover, 6), ENOENT);
  EXPECT_EQ(ask(prover, 7), 0) << "it is not doubtful";
  EXPECT_EQ(ask(prover, 13), EIO);
  EXPECT_EQ(settled_, 2);
  EXPECT_TRUE(prover.started());
}

TEST_F(ProverTest, ReadsOnceForAllWhoWait) {
  make(5, 40);
  Prover prover(*this);
  std::atomic<int> answers{0};
  for (uid_t user = 0; user < 5; ++user) {
    prover.ask(InodeId{5}, user, [&](const Result<>& done) { answers += done ? 1 : 100; });
  }
  prover.start();
  while (answers != 5) std::this_thread::yield();
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ(settled_, 1);
}

TEST_F(ProverTest, AFileThatGoesIsNotReadOn) {
  make(5, 40);
  gone_ = true;
  Prover prover(*this);
  prover.start();
  EXPECT_EQ(ask(prover, 5), 0);
  EXPECT_EQ(settled_, 0);
}

TEST_F(ProverTest, ItsEndAnswersAll) {
  make(5, 40);
  Prover prover(*this);
  int code = 0;
  prover.ask(InodeId{5}, 1, [&](const Result<>& done) { code = done.error().code; });
  prover.stop();
  EXPECT_EQ(code, ECANCELED);
  EXPECT_EQ(ask(prover, 5), ECANCELED);
}

}  // namespace
}  // namespace spillfs::fs
