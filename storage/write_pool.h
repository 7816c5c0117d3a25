// SPDX-License-Identifier: Apache-2.0
// Threads that write to disk, so that no request has to wait for one.
// Threads: every method may be called from any thread.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "storage/base/mutex.h"

namespace spillfs::storage {

class WritePool {
 public:
  using Job = std::function<void()>;

  // Without threads submit() runs the job itself.
  explicit WritePool(unsigned threads);
  // Runs what is still queued.
  ~WritePool();

  void submit(Job job) EXCLUDES(mutex_);
  // `call` is made after each job, from its thread, so that those who wait for one try again. Waits
  // until no thread is in the old one.
  void on_done(std::function<void()> call) EXCLUDES(call_mutex_);
  // Whether a job is queued or runs: when it is done, on_done()'s call is made.
  [[nodiscard]] bool busy() const EXCLUDES(mutex_);

 private:
  void loop(const std::stop_token& stop);
  bool next(const std::stop_token& stop, Job& job) EXCLUDES(mutex_);
  void run(const Job& job) EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Job> queue_ GUARDED_BY(mutex_);
  std::size_t running_ GUARDED_BY(mutex_) = 0;
  Mutex call_mutex_;
  std::function<void()> on_done_ GUARDED_BY(call_mutex_);
  std::vector<std::jthread> threads_;
};

}  // namespace spillfs::storage
