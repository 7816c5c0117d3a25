// SPDX-License-Identifier: Apache-2.0
// RocksdbHealth: whether RocksDB takes changes. After an I/O error of its own it refuses them all;
// then this tries every few seconds whether it goes on, and logs the begin and the end once.
// Threads: every method may be called from any thread.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "storage/base/mutex.h"

namespace spillfs::index {

class RocksdbHealth final : public rocksdb::EventListener {
 public:
  // Makes RocksDB go on where it can, every `pause`, until forget(); `db` lives until then.
  void watch(rocksdb::DB& db, std::chrono::milliseconds pause) EXCLUDES(mutex_);
  void forget();
  // Why it refuses changes; empty when it takes them.
  [[nodiscard]] std::string trouble() const EXCLUDES(mutex_);
  // Tries at once whether it goes on.
  rocksdb::Status resume(rocksdb::DB& db) EXCLUDES(mutex_);

  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override
      EXCLUDES(mutex_);
  void OnErrorRecoveryEnd(const rocksdb::BackgroundErrorRecoveryInfo& info) override
      EXCLUDES(mutex_);

 private:
  void well(std::uint64_t errors) EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  std::string trouble_ GUARDED_BY(mutex_);
  std::uint64_t errors_ GUARDED_BY(mutex_) = 0;  // so far
  std::jthread watcher_;
};

}  // namespace spillfs::index
