// SPDX-License-Identifier: Apache-2.0
// FileDevice: a data directory on a real file system. Its files belong to the daemon alone (0600,
// folders 0700) and are reached through descriptors of its folders, so a later rename or mount over
// their paths changes nothing. Symbolic links inside are never followed.
#pragma once

#include <memory>
#include <string>

#include "storage/base/fd.h"
#include "storage/base/slow_watch.h"
#include "storage/device.h"

namespace spillfs::storage {

class FileDevice final : public Device {
 public:
  // `path` exists (ENOENT); segments/ and recycle/ are made where missing. `reserve` bytes of its
  // file system are left free: space() does not show them, allocate() does not take them (ENOSPC).
  // `watch`, which outlives it and its files, tells of calls that take long.
  static Result<std::unique_ptr<Device>> open_directory(const std::string& path,
                                                        std::uint64_t reserve = 0,
                                                        SlowWatch* watch = nullptr);

  Result<std::shared_ptr<File>> create(const std::string& path) override;
  Result<std::shared_ptr<File>> open(const std::string& path) override;
  Result<> remove(const std::string& path) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<> sync_folder(const std::string& folder) override;
  Result<> sync_all() override;
  Result<bool> may_be_written(const std::string& path) override;
  Result<DeviceSpace> space() override;
  [[nodiscard]] std::string name() const override { return path_; }

 private:
  FileDevice(std::string path, Fd directory, std::uint64_t reserve, SlowWatch* watch)
      : path_(std::move(path)),
        directory_(std::move(directory)),
        reserve_(reserve),
        watch_(watch) {}
  struct Place {
    int folder = -1;
    std::string name;
  };
  Result<Fd> open_folder(const char* folder);
  [[nodiscard]] Place place(const std::string& path) const;
  Result<Fd> open_at(const std::string& path, int flags);

  const std::string path_;
  const Fd directory_;
  Fd segments_;  // set once, at open
  Fd recycle_;
  const std::uint64_t reserve_;
  SlowWatch* const watch_;
};

}  // namespace spillfs::storage
