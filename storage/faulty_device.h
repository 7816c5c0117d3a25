// SPDX-License-Identifier: Apache-2.0
// FaultyDevice: another device whose N-th operation fails, for tests that fail every N in turn.
// Operations on the device and on its files count alike. Threads: as the wrapped device.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/mutex.h"
#include "storage/device.h"

namespace spillfs::storage {

enum class FaultKind : std::uint8_t {
  kOnce,       // only the N-th operation fails, without effect
  kHalfWrite,  // as kOnce; if it is a write, its first half is written before it fails
  kForGood,    // the N-th and every later one: the disk is gone
  kDies,       // the process ends before the N-th, as by SIGKILL, with exit code kDied
  kShortRead,  // counts reads only; the N-th gives half of what there is, and no error
  kSlow,       // the N-th and every later one take `delay` longer, then work
};

inline constexpr int kDied = 99;

// Shared by any number of devices. Counts always; fails only after fail_at().
class FaultPlan {
 public:
  struct Fault {
    int code = EIO;
    FaultKind kind = FaultKind::kOnce;
    std::string call = {};  // counts the calls of this name only; empty: all
    std::chrono::milliseconds delay{50};
  };

  // The n-th operation from now on (1 is the next) fails.
  void fail_at(std::uint64_t n, Fault fault);
  // No fault any more, and the count starts again.
  void clear();
  [[nodiscard]] std::uint64_t count() const;  // operations since the last fail_at() or clear()
  [[nodiscard]] bool fired() const;

  // For the devices: counts one operation, named as the method is, and says whether it fails.
  std::optional<Fault> next(std::string_view call) EXCLUDES(mutex_);
  // How often each call has come since the last fail_at() or clear().
  [[nodiscard]] std::map<std::string, std::uint64_t> calls() const;

 private:
  std::optional<Fault> due(std::string_view call) EXCLUDES(mutex_);

  mutable Mutex mutex_;
  std::uint64_t count_ GUARDED_BY(mutex_) = 0;
  std::uint64_t at_ GUARDED_BY(mutex_) = 0;  // 0: never
  bool fired_ GUARDED_BY(mutex_) = false;
  std::map<std::string, std::uint64_t> calls_ GUARDED_BY(mutex_);
  Fault fault_ GUARDED_BY(mutex_);
};

class FaultyDevice final : public Device {
 public:
  FaultyDevice(std::shared_ptr<Device> inner, std::shared_ptr<FaultPlan> plan);

  Result<std::shared_ptr<File>> create(const std::string& path) override;
  Result<std::shared_ptr<File>> open(const std::string& path) override;
  Result<> remove(const std::string& path) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<> sync_folder(const std::string& folder) override;
  Result<> sync_all() override;
  Result<bool> may_be_written(const std::string& path) override;
  Result<DeviceSpace> space() override;
  [[nodiscard]] std::uint64_t reserve() const override { return inner_->reserve(); }
  [[nodiscard]] std::string name() const override { return "faulty " + inner_->name(); }

 private:
  const std::shared_ptr<Device> inner_;
  const std::shared_ptr<FaultPlan> plan_;
};

}  // namespace spillfs::storage
