// SPDX-License-Identifier: Apache-2.0
// An external storage whose N-th call fails, for every N: the right error, nothing left, and the
// next try works.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <tuple>

#include "storage/external/directory_object_store.h"
#include "storage/external/object_store_storage.h"
#include "tests/support/external.h"
#include "tests/support/faulty_object_store.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::tests {
namespace {

using storage::FaultKind;
using storage::FaultPlan;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kCode = EDQUOT;  // nothing else makes this one

class ExternalFault : public testing::TestWithParam<std::tuple<bool, FaultKind>> {
 protected:
  ExternalFault() {
    std::shared_ptr<ext::ObjectStore> directory =
        ext::DirectoryObjectStore::open_directory(
            folder_.path(), {.buffer_size = 1000, .unnamed = std::get<0>(GetParam())})
            .value();
    const auto faulty = std::make_shared<FaultyObjectStore>(std::move(directory), plan_);
    storage_ = std::make_unique<ext::ObjectStoreStorage>(ext::StorageParts{
        .places = {{.store = faulty, .key_prefix = "s/", .url_prefix = folder_.path() + "/s/"}}});
  }

  // Runs `step` with its first, second, … call failing, until it gets through.
  template <class Step>
  void fail_every_call(Step step) {
    for (std::uint64_t n = 1;; ++n) {
      SCOPED_TRACE(fmt::format("call {}", n));
      ASSERT_LT(n, 100U);
      plan_->fail_at(n, {.code = kCode, .kind = std::get<1>(GetParam())});
      const auto done = step();
      const bool fired = plan_->fired();
      plan_->clear();
      EXPECT_EQ(fired, !done);
      if (!fired) {
        EXPECT_GT(n, 1U);
        return;
      }
      EXPECT_EQ(done.error().code, kCode);
      after_failure_();
    }
  }

  TemporaryFolder folder_;
  const std::shared_ptr<FaultPlan> plan_ = std::make_shared<FaultPlan>();
  std::unique_ptr<ext::ObjectStoreStorage> storage_;
  std::function<void()> after_failure_ = [] {};
  const std::string bytes_ = some_bytes(20 * kMiB);
  const std::vector<ext::SpillObject> objects_{object_of("small"), object_of(bytes_),
                                               object_of("")};
};

TEST_P(ExternalFault, SpillsLeaveNothing) {
  after_failure_ = [&] { EXPECT_THAT(folder_.files(), IsEmpty()); };
  std::vector<std::string> urls;
  fail_every_call([&] {
    auto spilled = storage_->spill_objects(objects_);
    urls = spilled.value_or(urls);
    return spilled;
  });
  KeepingSink sink;
  ASSERT_TRUE(storage_->restore_spilled_objects(refs_of(objects_), urls, sink));
  EXPECT_TRUE(sink.kept[1].bytes == bytes_);
}

// The first name is taken: the second file fails, the first one stays.
TEST_P(ExternalFault, SpillsUnderAnotherNameLeaveNothing) {
  ASSERT_TRUE(storage_->spill_objects(objects_));
  after_failure_ = [&] { EXPECT_THAT(folder_.files(), SizeIs(1)); };
  fail_every_call([&] { return storage_->spill_objects(objects_); });
  EXPECT_THAT(folder_.files(), SizeIs(2));
}

TEST_P(ExternalFault, RestoresTellAndCanBeTriedAgain) {
  const auto urls = storage_->spill_objects(objects_).value();
  fail_every_call([&] {
    KeepingSink sink;
    auto restored = storage_->restore_spilled_objects(refs_of(objects_), urls, sink);
    for (std::size_t i = 0; i < sink.kept.size(); ++i) {
      EXPECT_TRUE(as_bytes(sink.kept[i].bytes).size() == objects_[i].buffer->size());
    }
    return restored;
  });
}

TEST_P(ExternalFault, DeletesCanBeTriedAgain) {
  const auto urls = storage_->spill_objects(objects_).value();
  fail_every_call([&] { return storage_->delete_spilled_objects(urls); });
  EXPECT_THAT(folder_.files(), IsEmpty());
}

TEST_P(ExternalFault, DestructionCanBeTriedAgain) {
  ASSERT_TRUE(storage_->spill_objects(objects_));
  fail_every_call([&] { return storage_->destroy_external_storage(); });
  EXPECT_THAT(folder_.files(), IsEmpty());
}

// The file system itself refuses, after any number of bytes.
TEST_P(ExternalFault, AFullDiskLeavesNothing) {
  struct LimitOfFiles {
    explicit LimitOfFiles(rlim_t bytes) {
      ::getrlimit(RLIMIT_FSIZE, &before);
      const rlimit now{.rlim_cur = bytes, .rlim_max = before.rlim_max};
      EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
    }
    ~LimitOfFiles() { ::setrlimit(RLIMIT_FSIZE, &before); }
    rlimit before{};
  };
  auto* const before = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {0UL, 1UL, 500UL, 999UL, 1000UL, 1001UL, 70'000UL, 10'000'000UL}) {
    const LimitOfFiles limited(limit);
    const auto spilled = storage_->spill_objects(objects_);
    ASSERT_FALSE(spilled) << limit;
    EXPECT_EQ(spilled.error().code, EFBIG);
    EXPECT_THAT(folder_.files(), IsEmpty());
  }
  std::signal(SIGXFSZ, before);
  EXPECT_TRUE(storage_->spill_objects(objects_));
}

std::string name_of(const testing::TestParamInfo<ExternalFault::ParamType>& test) {
  constexpr std::array kKinds{"once", "half_write", "for_good"};
  const auto [unnamed, kind] = test.param;
  return std::string(unnamed ? "unnamed_" : "in_place_") + kKinds[static_cast<std::size_t>(kind)];
}

INSTANTIATE_TEST_SUITE_P(Faults, ExternalFault,
                         testing::Combine(testing::Bool(),
                                          testing::Values(FaultKind::kOnce, FaultKind::kHalfWrite,
                                                          FaultKind::kForGood)),
                         name_of);

}  // namespace
}  // namespace spillfs::tests
