// SPDX-License-Identifier: Apache-2.0
// Each call a Volume makes to its disks and its index fails once, at every place where it comes, in
// every way it can: what does a client see, is every acknowledged file right, does the Volume go
// on? The answers are the table in docs/RELIABILITY.md; SPILLFS_WRITE_DOCS=1 writes it there.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "tests/support/volume_workload.h"

namespace spillfs::tests {
namespace {

using storage::FaultKind;
using storage::FaultPlan;

constexpr const char* kDocument = SPILLFS_SOURCE_DIR "/docs/RELIABILITY.md";
constexpr const char* kTableBegins = "<!-- fault matrix -->\n";
constexpr const char* kTableEnds = "<!-- end of the fault matrix -->\n";
constexpr const char* kNobodyNotices = "nobody notices";

struct Column {
  const char* name;
  FaultPlan::Fault read, write, other;  // kDies: there is no such fault
};

std::vector<Column> columns() {
  const FaultPlan::Fault io{.code = EIO};
  const FaultPlan::Fault space{.code = ENOSPC};
  const FaultPlan::Fault none{.kind = FaultKind::kDies};
  const FaultPlan::Fault slow{.kind = FaultKind::kSlow, .delay = std::chrono::milliseconds(1)};
  return {{"EIO", io, io, io},
          {"ENOSPC", space, space, space},
          {"short", {.kind = FaultKind::kShortRead}, {.kind = FaultKind::kHalfWrite}, none},
          {"delay", slow, slow, slow}};
}

FaultPlan::Fault fault_of(const Column& column, const std::string& call) {
  const bool writes = call == "write" || call == "write_parts" || call == "write_direct";
  FaultPlan::Fault fault = writes ? column.write : call == "read" ? column.read : column.other;
  fault.call = call;
  return fault;
}

Step read_step(const std::string& name, const std::string& text) {
  return {"read " + name, [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            const auto opened = SPILLFS_TRY(volume.open_file(InodeId{found.st_ino}, O_RDONLY));
            std::string got(text.size(), '?');
            const auto read = volume.read(opened.handle, std::as_writable_bytes(std::span(got)), 0);
            const auto data = volume.seek(opened.handle, 0, SEEK_DATA);
            SPILLFS_TRY(close(volume, opened.handle, {}));
            EXPECT_TRUE(!read || got == text) << name << ": wrong bytes without an error";
            if (!read) return tl::unexpected(read.error());
            if (!data) return tl::unexpected(data.error());
            return {};
          }};
}

Step look_around_step(const std::string& name) {
  return {"look at " + name, [=](const Side& side) -> Result<> {
            fs::Volume& volume = side.volume;
            const auto found = SPILLFS_TRY(volume.lookup(kRootInode, name));
            const InodeId id{found.st_ino};
            SPILLFS_TRY(volume.list(kRootInode, 0, 100));
            SPILLFS_TRY(volume.list_xattrs(id));
            SPILLFS_TRY(volume.get_xattr(id, "user.spill.metadata"));
            SPILLFS_TRY(volume.statfs());
            return {};
          }};
}

std::vector<Step> matrix_workload() {
  constexpr pid_t kDirect = kDirectWriter;
  std::vector<Step> steps{
      read_step("kept", bytes('k', 3000)),
      read_step("kept big", bytes('K', 90000)),
      write_step("small", bytes('a', 5000)),
      write_step("synced", bytes('b', 20000), {.sync = true}),
      write_step("big", bytes('c', 150000)),
      write_step("direct", bytes('C', 150001), {.sync = true, .writer = kDirect}),
      read_step("small", bytes('a', 5000)),
      read_step("direct", bytes('C', 150001)),
      write_step("small", bytes('d', 3000), {.offset = 1000, .flags = O_RDWR}),
      write_step("big", bytes('e', 30000), {.offset = 50000, .flags = O_RDWR, .sync = true}),
      punch_step("big", 8192, 40960),
      resize_step("big", 70000),
      resize_step("synced", 0),
      write_step("small", bytes('h', 9000), {.flags = O_WRONLY | O_CREAT | O_TRUNC}),
      xattr_step("small"),
      look_around_step("small"),
      rename_step("small", "other", 0),
      rename_step("other", "big", RENAME_EXCHANGE),
      rename_step("synced", "other", 0),
      mkdir_step("folder"),
      link_step("big", "linked"),
  };
  for (int i = 0; i < 14; ++i) {
    steps.push_back(write_step(fmt::format("f{}", i), bytes(static_cast<char>('a' + i), 30000)));
  }
  for (int i = 0; i < 11; ++i) steps.push_back(unlink_step(fmt::format("f{}", i)));
  steps.push_back(unlink_step("direct"));
  steps.push_back(reclaim_step());
  steps.push_back(write_step("recycled", bytes('r', 100000)));
  steps.push_back(read_step("recycled", bytes('r', 100000)));
  return steps;
}

// Only streams of many MiB are written back before they are closed.
std::vector<Step> workload_for(const std::string& call) {
  if (call == "write_back") return {write_step("huge", bytes('H', 9 * kMiB))};
  return matrix_workload();
}

// A store as a process that was killed left it: a file never sealed, one without names still open.
Outcome prepare(FaultyStore& store) {
  auto volume = store.open().value();
  Outcome outcome = run(store.side(*volume), {write_step("kept", bytes('k', 3000)),
                                              write_step("kept big", bytes('K', 90000)),
                                              write_step("orphan", bytes('o', 50000))});
  EXPECT_EQ(outcome.failed, "");
  const auto unsealed = volume->create(kRootInode, "unsealed", 0644, O_WRONLY | O_CREAT, {});
  EXPECT_TRUE(volume->write(unsealed.value().handle, as_bytes(bytes('u', 60000)), 0));
  leave_open_orphan(*volume, "orphan", outcome);
  store.kill(std::move(volume));
  return outcome;
}

// Device and File have all their calls here but attribute(), which a Volume never makes.
constexpr std::array kDeviceCalls{
    "read",   "write", "write_parts",   "write_direct", "write_back", "resize",
    "status", "seek",  "allocate",      "sync",         "create",     "open",
    "list",   "space", "set_attribute", "remove",       "rename",     "sync_folder",
};
constexpr std::array kIndexCalls{"index commit",  "index sync",    "index inode",
                                 "index find",    "index list",    "index xattr",
                                 "index reserve", "index segment", "index queue"};

std::string what_a_client_sees(const Outcome& outcome) {
  if (outcome.failed.empty()) return kNobodyNotices;
  if (outcome.failed.starts_with("reclaim")) return "reclaim tries again";
  if (outcome.code == fs::kWaitForSpace) return "the operation waits for space";
  return fmt::format("the operation fails with {}", outcome.code == EIO      ? "EIO"
                                                    : outcome.code == ENOSPC ? "ENOSPC"
                                                                             : "another error");
}

class FaultMatrix : public testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void TearDown() override { spdlog::set_level(spdlog::level::info); }

  // The fault at the n-th place; what a client saw, nothing when there is no such place.
  std::optional<std::string> seen(const FaultPlan::Fault& fault, std::uint64_t n) {
    FaultyStore store(Mode::kByWriter);
    Outcome outcome = prepare(store);
    std::string saw = "the mount fails";
    store.plan->fail_at(n, fault);
    auto opened = store.open();
    if (opened) {
      outcome = run(store.side(**opened), workload_for(fault.call), outcome);
      saw = what_a_client_sees(outcome);
    }
    const bool fired = store.plan->fired();
    calls_ = store.plan->calls();
    store.plan->clear();
    auto volume = opened ? *std::move(opened) : store.open().value();
    const std::string what = fmt::format("{} {}: {}", fault.call, n, outcome.failed);
    goes_on(store, volume, outcome, what);
    if (HasFailure()) return std::nullopt;
    expect_allowed(read_all(*volume), outcome, what + ", after a restart");
    volume.reset();
    EXPECT_EQ(store.problems(), "") << what;
    if (!fired) return std::nullopt;
    return saw;
  }

  std::string cell(const FaultPlan::Fault& fault) {
    if (fault.kind == FaultKind::kDies) return "does not apply";
    std::set<std::string> all;
    for (std::uint64_t n = 1; !HasFailure(); ++n) {
      const auto saw = seen(fault, n);
      if (!saw) break;
      all.insert(*saw);
      ++places_;
      if (fault.kind == FaultKind::kSlow) break;  // that is every place already
    }
    EXPECT_FALSE(all.empty()) << fault.call;
    std::vector<std::string> worst_first(all.begin(), all.end());
    std::stable_partition(worst_first.begin(), worst_first.end(),
                          [](const auto& saw) { return saw != kNobodyNotices; });
    return fmt::format("{}", fmt::join(worst_first, ", or "));
  }

  std::string table();

  std::map<std::string, std::uint64_t> calls_;  // of the last seen()
  std::uint64_t places_ = 0;
};

std::string text_of(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string FaultMatrix::table() {
  EXPECT_FALSE(seen({.call = "no such call"}, 1));
  auto calls = calls_;
  for (const char* call : kDeviceCalls) calls.try_emplace(call, 1);
  std::string text = "| call |";
  for (const Column& column : columns()) text += fmt::format(" {} |", column.name);
  text += "\n|---|---|---|---|---|\n";
  for (const auto& [call, count] : calls) {
    text += fmt::format("| `{}` |", call);
    for (const Column& column : columns()) {
      text += fmt::format(" {} |", cell(fault_of(column, call)));
    }
    text += "\n";
  }
  for (const char* call : kIndexCalls) EXPECT_TRUE(calls.contains(call)) << call;
  return text;
}

TEST_F(FaultMatrix, IsTheOneInTheDocument) {
  const std::string made = table();
  ASSERT_FALSE(HasFailure());
  std::cout << made << places_ << " places\n";
  const std::string document = text_of(kDocument);
  const std::size_t begin = document.find(kTableBegins);
  const std::size_t end = document.find(kTableEnds);
  ASSERT_LT(begin, end);
  const std::string updated =
      document.substr(0, begin) + kTableBegins + made + document.substr(end);
  if (std::getenv("SPILLFS_WRITE_DOCS") != nullptr) std::ofstream(kDocument) << updated;
  EXPECT_EQ(text_of(kDocument), updated) << "run this test with SPILLFS_WRITE_DOCS=1";
}

}  // namespace
}  // namespace spillfs::tests
