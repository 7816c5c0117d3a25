// SPDX-License-Identifier: Apache-2.0
// Brings single files, and all names so far, to disk for many who wait at once: while one group is
// being synced the next one gathers, each file is synced once for its group, and the index once for
// all. Nobody waits in a thread of theirs, but for those who call run().
// Threads: every method may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include "index/index.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/segments.h"

namespace spillfs::fs {

class Syncer {
 public:
  using Done = std::function<void(Result<>)>;
  struct Request {
    std::shared_ptr<storage::File> file;  // null: only names
    Location location;                    // of the file
    std::function<Result<>()> then;       // once its bytes are on disk, before the index is synced
    Done done;
  };

  // Both outlive it.
  Syncer(storage::SegmentStore& segments, index::Index& index);
  // Answers everyone.
  ~Syncer();
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;

  // Calls `done` from a thread of its own.
  void add(Request request) EXCLUDES(mutex_);
  // Waits; `done` is not called.
  Result<> run(Request request) EXCLUDES(mutex_);
  // Until everyone who has been added is answered.
  void drain() EXCLUDES(mutex_);

  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  [[nodiscard]] std::uint64_t groups() const { return groups_; }

 private:
  void loop();
  void serve(std::vector<Request>& group);
  Result<> sync_file(const Request& request);

  storage::SegmentStore& segments_;
  index::Index& index_;
  std::atomic<std::uint64_t> requests_{0};
  std::atomic<std::uint64_t> groups_{0};
  std::unordered_set<std::uint64_t> named_;  // segments whose names are on disk; the thread's own

  Mutex mutex_;
  CondVar changed_;
  std::vector<Request> waiting_ GUARDED_BY(mutex_);
  bool busy_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace spillfs::fs
