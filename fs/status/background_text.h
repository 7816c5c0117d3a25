// SPDX-License-Identifier: Apache-2.0
// BackgroundText: makes a text in a thread of its own, for a thread that must not wait for it.
// Threads: ask() and take() may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "storage/base/mutex.h"

namespace spillfs::fs {

class BackgroundText {
 public:
  using Text = std::shared_ptr<const std::string>;

  // Both are called from its thread: `make`, and `made` when there is something to take.
  BackgroundText(std::function<std::string()> make, std::function<void()> made);
  // Waits for the text that is being made.
  ~BackgroundText();
  BackgroundText(const BackgroundText&) = delete;
  BackgroundText& operator=(const BackgroundText&) = delete;

  // Has one made. Not while one is being made: what was asked for has been taken.
  void ask() EXCLUDES(mutex_);
  // The one that was asked for, once; null until it is there. Empty: there was no memory for it.
  Text take() EXCLUDES(mutex_);

 private:
  void run(const std::stop_token& stop);

  const std::function<std::string()> make_;
  const std::function<void()> made_;
  Mutex mutex_;
  CondVar wanted_or_stopped_;
  bool wanted_ GUARDED_BY(mutex_) = false;
  Text text_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace spillfs::fs
