// SPDX-License-Identifier: Apache-2.0
#include "fs/system/log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/temporary_folder.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

class LogFileTest : public testing::Test {
 protected:
  void SetUp() override { path_ = files::canonical(temporary_.path()); }

  spdlog::logger logger(std::uint64_t largest = kLogSize) const {
    spdlog::logger made("test", make_log_file(folder(), largest).value());
    made.set_pattern("%v");
    return made;
  }
  TrustedDirectory folder() const {
    return TrustedDirectory::open(path_, Trust::of_process()).value();
  }
  std::string text(const std::string& name) const {
    std::ifstream file(path_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  tests::TemporaryFolder temporary_;
  std::string path_;
};

TEST_F(LogFileTest, IsAppendedTo) {
  logger().info("one");
  logger().info("two");
  EXPECT_EQ(text("spillfs.log"), "one\ntwo\n");
}

TEST_F(LogFileTest, KeepsTwoBeforeIt) {
  auto log = logger(4);
  for (const char* line : {"one", "two", "three", "four"}) log.info(line);
  EXPECT_EQ(text("spillfs.log"), "four\n");
  EXPECT_EQ(text("spillfs.1.log"), "three\n");
  EXPECT_EQ(text("spillfs.2.log"), "two\n");
}

TEST_F(LogFileTest, IsTurnedOverOnceForBothProcesses) {
  auto supervisor = logger(4);
  auto worker = logger(4);
  supervisor.info("one");
  worker.info("two");
  supervisor.info("too");
  EXPECT_EQ(text("spillfs.log"), "too\n");
  EXPECT_EQ(text("spillfs.1.log"), "two\n");
  EXPECT_EQ(text("spillfs.2.log"), "one\n");
}

TEST_F(LogFileTest, FollowsNoLink) {
  const std::string victim = path_ + "/victim";
  std::ofstream(victim) << "precious";
  files::create_symlink(victim, path_ + "/spillfs.log");
  const auto refused = make_log_file(folder());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ELOOP);
  files::remove(path_ + "/spillfs.log");
  auto log = logger(4);
  for (const char* name : {"spillfs.1.log", "spillfs.2.log"}) {
    files::create_symlink(victim, path_ + "/" + name);
  }
  for (const char* line : {"one", "two", "three"}) log.info(line);
  EXPECT_EQ(text("victim"), "precious");
  EXPECT_EQ(text("spillfs.1.log"), "two\n");
  EXPECT_EQ(text("spillfs.2.log"), "one\n");
}

}  // namespace
}  // namespace spillfs::fs
