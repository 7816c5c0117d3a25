// SPDX-License-Identifier: Apache-2.0
#include "storage/base/slow_watch.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace spillfs {

SlowWatch::SlowWatch(std::chrono::milliseconds limit)
    : limit_(limit), watcher_([this](const std::stop_token& stop) { look(stop); }) {}

SlowWatch::~SlowWatch() {
  watcher_.request_stop();
  MutexLock lock(mutex_);
  stopping_.notify_all();
}

SlowWatch::Operation::Operation(SlowWatch* watch, std::string_view name, std::string_view object,
                                std::uint64_t number)
    : watch_(watch),
      name_(name),
      object_(object),
      number_(number),
      begin_(watch == nullptr ? std::chrono::steady_clock::time_point{}
                              : std::chrono::steady_clock::now()) {
  if (watch_ != nullptr) watch_->begin(*this);
}

SlowWatch::Operation::~Operation() {
  if (watch_ != nullptr) watch_->end(*this);
}

std::size_t SlowWatch::late_requests() {
  MutexLock lock(mutex_);
  const auto late = [](const Operation* each) { return each->told_ && each->object_.empty(); };
  return static_cast<std::size_t>(std::count_if(running_.begin(), running_.end(), late));
}

void SlowWatch::begin(Operation& operation) {
  MutexLock lock(mutex_);
  operation.at_ = running_.size();
  running_.push_back(&operation);
}

void SlowWatch::end(Operation& operation) {
  MutexLock lock(mutex_);
  running_[operation.at_] = running_.back();
  running_[operation.at_]->at_ = operation.at_;
  running_.pop_back();
}

bool SlowWatch::stuck(std::chrono::milliseconds limit) {
  const auto latest = std::chrono::steady_clock::now() - limit;
  MutexLock lock(mutex_);
  bool late = false;
  for (const Operation* operation : running_) {
    if (!operation->object_.empty()) return false;
    late = late || operation->begin_ <= latest;
  }
  return late;
}

void SlowWatch::look(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    stopping_.wait_for(mutex_, limit_ / 5);
    tell_slow();
  }
}

void SlowWatch::tell_slow() {
  const auto now = std::chrono::steady_clock::now();
  for (Operation* operation : running_) {
    if (operation->told_ || now - operation->begin_ < limit_) continue;
    operation->told_ = true;
    ++count_;
    spdlog::warn("slow: {} of {} takes more than {} ms", operation->name_,
                 operation->object_.empty() ? fmt::format("inode {}", operation->number_)
                                            : std::string(operation->object_),
                 limit_.count());
  }
}

}  // namespace spillfs
