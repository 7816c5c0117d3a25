// SPDX-License-Identifier: Apache-2.0
#include "fs/status/background_text.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace spillfs::fs {
namespace {

std::string made_by(const std::function<std::string()>& make) {
  try {
    return make();
  } catch (const std::exception& error) {  // no memory
    spdlog::warn("metrics: {}", error.what());
    return {};
  }
}

}  // namespace

BackgroundText::BackgroundText(std::function<std::string()> make, std::function<void()> made)
    : make_(std::move(make)),
      made_(std::move(made)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

BackgroundText::~BackgroundText() {
  {
    MutexLock lock(mutex_);
    thread_.request_stop();
    wanted_or_stopped_.notify_all();
  }
  thread_.join();
}

void BackgroundText::ask() {
  MutexLock lock(mutex_);
  wanted_ = true;
  wanted_or_stopped_.notify_all();
}

BackgroundText::Text BackgroundText::take() {
  MutexLock lock(mutex_);
  return std::exchange(text_, nullptr);
}

void BackgroundText::run(const std::stop_token& stop) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!wanted_ && !stop.stop_requested()) wanted_or_stopped_.wait(mutex_);
      if (stop.stop_requested()) return;
      wanted_ = false;
    }
    auto text = std::make_shared<const std::string>(made_by(make_));
    {
      MutexLock lock(mutex_);
      text_ = std::move(text);
    }
    made_();
  }
}

}  // namespace spillfs::fs
