// SPDX-License-Identifier: Apache-2.0
#include "fs/reap/reap_service.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/test_store.h"

namespace spillfs::tests {
namespace {

using namespace std::chrono_literals;

using fs::ReapRequest;

class ReapServiceTest : public testing::Test {
 protected:
  // A Dask worker's directory with a file, made by a process that is gone.
  void SetUp() override {
    fs::VolumeOptions options{.fuse_limit = 32 * kKiB};
    options.creator = [this](pid_t, std::string_view runtime) {
      return fs::to_text({.machine = machine_,
                          .processes = {{.pid = 1, .start = 1ULL << 60, .name = "python3"}},
                          .runtime = std::string(runtime)});
    };
    volume_ = store_.open(std::move(options)).value();
    const InodeId space = mkdir(kRootInode, "dask-scratch-space");
    directory_ = mkdir(space, "worker-a1b2c3d4");
    const auto file = volume_->create(directory_, "f\xff", 0600, O_WRONLY | O_CREAT, {}).value();
    EXPECT_TRUE(volume_->write(file.handle, as_bytes("bytes"), 0));
    EXPECT_TRUE(volume_->flush(file.handle));
    EXPECT_TRUE(volume_->release(file.handle));
  }
  InodeId mkdir(InodeId parent, const std::string& name) {
    return InodeId{volume_->mkdir(parent, name, 0700, {.pid = 7})->st_ino};
  }
  // The last line is first.
  static std::vector<nlohmann::json> lines_of(fs::ControlReader& reader) {
    std::string text;
    std::vector<nlohmann::json> lines;
    for (std::size_t offset = 0;;) {
      std::array<std::byte, 7> part{};  // lines come in pieces
      const std::size_t got = reader.read(part, offset).value();
      offset += got;
      text += as_text(Bytes(part).first(got));
      if (got == 0) std::this_thread::sleep_for(1ms);
      const std::size_t end = text.find('\n');
      if (end == std::string::npos) continue;
      lines.insert(lines.begin(), nlohmann::json::parse(text.substr(0, end)));
      text.erase(0, end + 1);
      if (lines.front().contains("done")) return lines;
    }
  }
  static int write(fs::ControlReader& reader, const std::string& text) {
    const auto written = reader.write(as_bytes(text));
    return written ? 0 : written.error().code;
  }
  std::vector<nlohmann::json> ask(const ReapRequest& request) {
    const auto reader = service_->open();
    EXPECT_EQ(write(*reader, to_text(request)), 0);
    return lines_of(*reader);
  }
  bool is_there() { return volume_->get_attributes(directory_).has_value(); }

  const fs::Namespaces view_ = fs::own_namespaces();
  const fs::Machine machine_ = fs::this_machine(fs::this_boot());
  const ReapRequest request_{.dry_run = false, .older_than = 0, .view = view_};
  TestStore store_;
  std::unique_ptr<fs::Volume> volume_;
  InodeId directory_{};
  std::unique_ptr<fs::ReapService> service_;
};

class StartedReapService : public ReapServiceTest {
 protected:
  void SetUp() override {
    ReapServiceTest::SetUp();
    service_ = std::make_unique<fs::ReapService>(*volume_, machine_);
    service_->start();
  }
};

TEST_F(StartedReapService, FindsAndRemoves) {
  ReapRequest request = request_;
  request.dry_run = true;
  auto lines = ask(request);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_FALSE(lines[0].contains("error"));
  EXPECT_EQ(lines[1]["path"], "dask-scratch-space/worker-a1b2c3d4");
  EXPECT_GT(lines[1]["bytes"], 0);
  EXPECT_TRUE(is_there());
  request = request_;
  request.older_than = 3600;
  EXPECT_EQ(ask(request).size(), 1U) << "younger";
  EXPECT_TRUE(is_there());
  EXPECT_EQ(ask(request_).size(), 2U);
  EXPECT_FALSE(is_there());
  EXPECT_EQ(ask(request_).size(), 1U) << "gone by now";
}

TEST_F(StartedReapService, RefusesAnotherViewOfTheMachine) {
  for (std::uint64_t fs::Namespaces::*field :
       {&fs::Namespaces::pids, &fs::Namespaces::time, &fs::Namespaces::mounts}) {
    ReapRequest request = request_;
    ++(request.view.*field);
    const auto lines = ask(request);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_THAT(std::string(lines[0]["error"]), testing::HasSubstr("another view"));
    EXPECT_TRUE(is_there());
  }
}

TEST_F(StartedReapService, TakesOneRequestForEachOpen) {
  const auto reader = service_->open();
  std::array<std::byte, 8> into{};
  EXPECT_EQ(reader->read(into, 0).value(), 0U) << "nothing was asked";
  for (const char* text : {"", "{}", "reap", "[]", R"({"dry_run":false,"older_than":-1})"}) {
    EXPECT_EQ(write(*reader, text), EINVAL) << text;
  }
  EXPECT_EQ(write(*reader, std::string(5000, ' ')), EINVAL);
  ReapRequest past = request_;
  past.older_than = -1;
  EXPECT_EQ(write(*reader, to_text(past)), EINVAL);
  EXPECT_EQ(write(*reader, to_text(request_)), 0);
  EXPECT_EQ(write(*reader, to_text(request_)), EINVAL);
  lines_of(*reader);
}

TEST_F(ReapServiceTest, OnlySoManyWait) {
  service_ = std::make_unique<fs::ReapService>(*volume_, machine_);
  std::vector<std::unique_ptr<fs::ControlReader>> readers;
  for (std::size_t i = 0; i < fs::ReapService::kMostWaiting; ++i) {
    readers.push_back(service_->open());
    EXPECT_EQ(write(*readers.back(), to_text(request_)), 0);
  }
  const auto another = service_->open();
  EXPECT_EQ(write(*another, to_text(request_)), EBUSY);
  readers.pop_back();
  EXPECT_EQ(write(*another, to_text(request_)), 0) << "nobody reads that one any more";
  service_->start();
  EXPECT_EQ(lines_of(*readers.front()).size(), 2U);
  EXPECT_EQ(lines_of(*another).size(), 1U);
}

}  // namespace
}  // namespace spillfs::tests
