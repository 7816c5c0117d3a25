// SPDX-License-Identifier: Apache-2.0
#include "storage/write_pool.h"

#include <utility>

#include "storage/base/threads.h"

namespace spillfs::storage {

WritePool::WritePool(unsigned threads) {
  start_threads(threads_, threads, 0, [this](const std::stop_token& stop) { loop(stop); });
}

WritePool::~WritePool() {
  {
    MutexLock lock(mutex_);
    for (std::jthread& thread : threads_) thread.request_stop();
    changed_.notify_all();
  }
  threads_.clear();
}

void WritePool::submit(Job job) {
  {
    MutexLock lock(mutex_);
    if (!threads_.empty()) {
      queue_.push_back(std::move(job));
      changed_.notify_one();
      return;
    }
    ++running_;
  }
  run(job);
}

void WritePool::on_done(std::function<void()> call) {
  MutexLock lock(call_mutex_);
  on_done_ = std::move(call);
}

bool WritePool::busy() const {
  MutexLock lock(mutex_);
  return running_ != 0 || !queue_.empty();
}

void WritePool::loop(const std::stop_token& stop) {
  Job job;
  while (next(stop, job)) {
    run(job);
    job = nullptr;
  }
}

// False when it is time to stop and nothing is left to do.
bool WritePool::next(const std::stop_token& stop, Job& job) {
  MutexLock lock(mutex_);
  while (queue_.empty()) {
    if (stop.stop_requested()) return false;
    changed_.wait(mutex_);
  }
  job = std::move(queue_.front());
  queue_.pop_front();
  ++running_;
  return true;
}

void WritePool::run(const Job& job) {
  job();
  {
    MutexLock lock(mutex_);
    --running_;
  }
  MutexLock lock(call_mutex_);
  if (on_done_) on_done_();
}

}  // namespace spillfs::storage
