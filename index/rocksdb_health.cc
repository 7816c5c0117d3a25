// SPDX-License-Identifier: Apache-2.0
#include "index/rocksdb_health.h"

#include <spdlog/spdlog.h>

#include "index/rocksdb_options.h"

namespace spillfs::index {

void RocksdbHealth::watch(rocksdb::DB& db, std::chrono::milliseconds pause) {
  watcher_ = std::jthread([this, &db, pause](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      {
        MutexLock lock(mutex_);
        while (trouble_.empty() && !stop.stop_requested()) changed_.wait(mutex_);
        if (!stop.stop_requested()) changed_.wait_for(mutex_, pause);
      }
      if (!stop.stop_requested()) static_cast<void>(resume(db));
    }
  });
}

void RocksdbHealth::forget() {
  watcher_.request_stop();
  {
    MutexLock lock(mutex_);
    changed_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
}

std::string RocksdbHealth::trouble() const {
  MutexLock lock(mutex_);
  return trouble_;
}

rocksdb::Status RocksdbHealth::resume(rocksdb::DB& db) {
  std::uint64_t before = 0;
  {
    MutexLock lock(mutex_);
    before = errors_;
  }
  auto status = db.Resume();
  if (status.ok()) well(before);
  return status;
}

// RocksDB gives up after an I/O error that a file system does not call temporary, while one that it
// does is taken back by writing the memtables out and beginning a new log. That is right after any
// of them: the write that failed is in no memtable.
void RocksdbHealth::OnBackgroundError(rocksdb::BackgroundErrorReason reason,
                                      rocksdb::Status* error) {
  const bool half_done = reason == rocksdb::BackgroundErrorReason::kMemTable;
  if (error->IsIOError() && !half_done && error->severity() == rocksdb::Status::kFatalError) {
    *error = rocksdb::Status(*error, rocksdb::Status::kHardError);
  }
  if (error->severity() < rocksdb::Status::kHardError) {
    spdlog::warn("the index tries again: {}", shown(error->ToString()));
    return;
  }
  MutexLock lock(mutex_);
  ++errors_;
  const bool known = !trouble_.empty();
  trouble_ = shown(error->ToString());
  if (error->severity() > rocksdb::Status::kHardError) trouble_ += "; needs a new mount";
  if (!known) spdlog::error("the index takes no changes, the mount is read-only: {}", trouble_);
  changed_.notify_all();
}

void RocksdbHealth::OnErrorRecoveryEnd(const rocksdb::BackgroundErrorRecoveryInfo& info) {
  if (!info.new_bg_error.ok()) return;
  std::uint64_t now = 0;
  {
    MutexLock lock(mutex_);
    now = errors_;
  }
  well(now);
}

// Of the errors until `errors`: one that came since is still there.
void RocksdbHealth::well(std::uint64_t errors) {
  MutexLock lock(mutex_);
  if (trouble_.empty() || errors != errors_) return;
  spdlog::warn("the index takes changes again");
  trouble_.clear();
}

}  // namespace spillfs::index
