// SPDX-License-Identifier: Apache-2.0
#include "fs/control/sync_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

namespace spillfs::fs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string text_of(ControlReader& reader) {
  std::array<std::byte, 256> part{};
  return std::string(as_text(Bytes(part).first(reader.read(part, 0).value())));
}

std::string answer_of(ControlReader& reader) {
  while (text_of(reader).empty()) std::this_thread::sleep_for(1ms);
  return text_of(reader);
}

int ask(ControlReader& reader, std::string_view text = "sync") {
  const auto written = reader.write(as_bytes(text));
  return written ? 0 : written.error().code;
}

TEST(SyncService, AnswersOnceItIsDone) {
  std::atomic<int> syncs{0};
  SyncService service([&]() -> Result<> {
    ++syncs;
    return {};
  });
  service.start();
  const auto desk = service.open();
  EXPECT_EQ(text_of(*desk), "");
  EXPECT_EQ(syncs, 0);
  EXPECT_EQ(ask(*desk), 0);
  EXPECT_EQ(answer_of(*desk), "{\"done\":true}\n");
  EXPECT_EQ(syncs, 1);
}

TEST(SyncService, SaysWhyItFailed) {
  SyncService service([]() -> Result<> { return fail(EIO, "the disk is gone"); });
  service.start();
  const auto desk = service.open();
  EXPECT_EQ(ask(*desk, "sync\n"), 0);
  EXPECT_THAT(answer_of(*desk), HasSubstr("\"error\":\"the disk is gone\""));
}

TEST(SyncService, TakesOneRequestOfItsKind) {
  SyncService service([] { return Result<>(); });
  const auto desk = service.open();
  for (const char* other : {"", "syncs", "{\"dry_run\":true}"}) {
    EXPECT_EQ(ask(*desk, other), EINVAL) << other;
  }
  EXPECT_EQ(ask(*desk), 0);
  EXPECT_EQ(ask(*desk), EINVAL);
}

// One that begins before a request does not answer it; all that come meanwhile share one.
TEST(SyncService, WhoAskMeanwhileShareTheNext) {
  std::atomic<int> syncs{0};
  std::promise<void> first_goes_on;
  SyncService service([&]() -> Result<> {
    if (++syncs == 1) first_goes_on.get_future().wait();
    return {};
  });
  service.start();
  const auto first = service.open();
  EXPECT_EQ(ask(*first), 0);
  while (syncs == 0) std::this_thread::sleep_for(1ms);
  std::vector<std::unique_ptr<ControlReader>> others;
  for (int i = 0; i < 5; ++i) {
    others.push_back(service.open());
    EXPECT_EQ(ask(*others.back()), 0);
    EXPECT_EQ(text_of(*others.back()), "");
  }
  first_goes_on.set_value();
  for (const auto& desk : others) EXPECT_EQ(answer_of(*desk), "{\"done\":true}\n");
  EXPECT_EQ(syncs, 2);
}

TEST(SyncService, TellsWhoWaitsThatTheMountEnds) {
  SyncService service([] { return Result<>(); });
  const auto desk = service.open();
  EXPECT_EQ(ask(*desk), 0);
  service.stop();
  EXPECT_THAT(text_of(*desk), HasSubstr("the mount ends"));
}

}  // namespace
}  // namespace spillfs::fs
