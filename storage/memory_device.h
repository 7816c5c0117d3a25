// SPDX-License-Identifier: Apache-2.0
// MemoryDevice: a data directory in memory, for tests. Counts blocks of 4 KiB as a file system
// does and refuses with ENOSPC beyond its capacity. Nothing is lost without sync.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "storage/base/mutex.h"
#include "storage/device.h"

namespace spillfs::storage {

class MemoryDevice final : public Device {
 public:
  static constexpr std::uint64_t kBlock = 4 * kKiB;

  // `capacity` in bytes of blocks.
  explicit MemoryDevice(std::uint64_t capacity = kGiB);
  ~MemoryDevice() override;

  Result<std::shared_ptr<File>> create(const std::string& path) override;
  Result<std::shared_ptr<File>> open(const std::string& path) override;
  Result<> remove(const std::string& path) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<> sync_folder(const std::string& folder) override;
  Result<> sync_all() override;
  Result<bool> may_be_written(const std::string& path) override;
  Result<DeviceSpace> space() override;
  [[nodiscard]] std::string name() const override { return "memory"; }

 private:
  class Budget;
  class MemoryFile;

  const std::shared_ptr<Budget> budget_;  // shared with the files, which may outlive the device
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<MemoryFile>> files_ GUARDED_BY(mutex_);
};

}  // namespace spillfs::storage
