// SPDX-License-Identifier: Apache-2.0
// OneLineSink: what stands before every sink of the log, so that no message becomes two lines,
// whoever chose the names in it.
#pragma once

#include <spdlog/sinks/sink.h>

#include <memory>

namespace spillfs::fs {

// Threads: any, as those of the sink it hands its messages to.
class OneLineSink final : public spdlog::sinks::sink {
 public:
  explicit OneLineSink(spdlog::sink_ptr next) : next_(std::move(next)) {}

  void log(const spdlog::details::log_msg& message) override;
  void flush() override { next_->flush(); }
  void set_pattern(const std::string& pattern) override { next_->set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    next_->set_formatter(std::move(formatter));
  }

 private:
  const spdlog::sink_ptr next_;
};

}  // namespace spillfs::fs
