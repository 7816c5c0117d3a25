// SPDX-License-Identifier: Apache-2.0
// ReadOnlyDevice: a data directory that is only read. What would change it fails with EROFS and is
// not passed on; there is nothing to sync, so that succeeds.
#pragma once

#include <memory>
#include <utility>

#include "storage/device.h"

namespace spillfs::storage {

class ReadOnlyDevice final : public Device {
 public:
  explicit ReadOnlyDevice(std::unique_ptr<Device> inner) : inner_(std::move(inner)) {}

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
  [[nodiscard]] std::string name() const override { return inner_->name(); }

 private:
  const std::unique_ptr<Device> inner_;
};

}  // namespace spillfs::storage
