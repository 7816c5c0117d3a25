// SPDX-License-Identifier: Apache-2.0
#include "fs/system/one_line_sink.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>

namespace spillfs::fs {
namespace {

class OneLineSinkTest : public ::testing::Test {
 protected:
  OneLineSinkTest() { logger_.set_pattern("[%l] %v"); }

  std::ostringstream out_;
  spdlog::logger logger_{"test", std::make_shared<OneLineSink>(
                                     std::make_shared<spdlog::sinks::ostream_sink_mt>(out_))};
};

TEST_F(OneLineSinkTest, MakesOneLineOfEachMessage) {
  logger_.error("'{}' is damaged", "a\n2026-01-01 00:00:00.000 [error] forged\x1b[2J");
  EXPECT_EQ(out_.str(),
            "[error] 'a\\n2026-01-01 00:00:00.000 [error] forged\\033[2J' is damaged\n");
}

TEST_F(OneLineSinkTest, LeavesWhatWasEscapedBefore) {
  logger_.info(R"(a\nb is "gone")");
  EXPECT_EQ(out_.str(), "[info] a\\nb is \"gone\"\n");
}

}  // namespace
}  // namespace spillfs::fs
