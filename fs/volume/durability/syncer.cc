// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/syncer.h"

#include <future>
#include <map>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::size_t kNamesRemembered = 100'000;

}  // namespace

Syncer::Syncer(storage::SegmentStore& segments, index::Index& index)
    : segments_(segments), index_(index), thread_([this] { loop(); }) {}

Syncer::~Syncer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Syncer::add(Request request) {
  ++requests_;
  MutexLock lock(mutex_);
  waiting_.push_back(std::move(request));
  changed_.notify_all();
}

Result<> Syncer::run(Request request) {
  std::promise<Result<>> answer;
  request.done = [&answer](Result<> synced) { answer.set_value(std::move(synced)); };
  auto answered = answer.get_future();
  add(std::move(request));
  return answered.get();
}

void Syncer::drain() {
  MutexLock lock(mutex_);
  while (busy_ || !waiting_.empty()) changed_.wait(mutex_);
}

void Syncer::loop() {
  for (;;) {
    std::vector<Request> group;
    {
      MutexLock lock(mutex_);
      busy_ = false;
      changed_.notify_all();
      while (waiting_.empty() && !stopping_) changed_.wait(mutex_);
      if (waiting_.empty()) return;
      group.swap(waiting_);
      busy_ = true;
    }
    ++groups_;
    serve(group);
  }
}

void Syncer::serve(std::vector<Request>& group) {
  std::map<SegmentId, Result<>> files;
  std::vector<Result<>> results;
  for (Request& request : group) {
    Result<> result;
    if (request.file != nullptr) {
      const SegmentId segment = request.location.segment;
      auto synced = files.find(segment);
      if (synced == files.end()) synced = files.emplace(segment, sync_file(request)).first;
      result = synced->second;
    }
    if (result && request.then) result = request.then();
    results.push_back(std::move(result));
    request.then = nullptr;  // whoever is answered finds nothing of its file held
    request.file.reset();
  }
  const Result<> indexed = index_.sync();
  for (std::size_t i = 0; i < group.size(); ++i) {
    group[i].done(results[i] ? indexed : results[i]);
  }
}

Result<> Syncer::sync_file(const Request& request) {
  SPILLFS_TRY(request.file->sync());
  const auto [segment, directory] = std::pair(request.location.segment, request.location.directory);
  if (named_.contains(number(segment))) return {};
  SPILLFS_TRY(segments_.sync_directory(directory));
  if (named_.size() > kNamesRemembered) named_.clear();  // they are synced again, that is all
  named_.insert(number(segment));
  return {};
}

}  // namespace spillfs::fs
