// SPDX-License-Identifier: Apache-2.0
// FileDevice: a data directory on a real file system. Its files belong to the daemon alone (0600,
// folders 0700) and are reached through descriptors of its folders, so a later rename or mount over
// their paths changes nothing. Nothing inside is followed, and what other users could have put
// there is refused, as TrustedDirectory says.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "storage/base/fd.h"
#include "storage/base/slow_watch.h"
#include "storage/base/trusted_directory.h"
#include "storage/device.h"

namespace spillfs::storage {

class FileDevice final : public Device {
 public:
  // segments/ and recycle/ are made where missing. `reserve` bytes of its file system are left
  // free: space() does not show them, allocate() does not take them (ENOSPC). `watch`, which
  // outlives it and its files, tells of calls that take long.
  static Result<std::unique_ptr<Device>> open_directory(TrustedDirectory directory,
                                                        std::uint64_t reserve = 0,
                                                        SlowWatch* watch = nullptr);
  // For reading: segments/ and recycle/ exist (ENOENT), and files are opened without the right to
  // write. What changes something is to be kept from it: storage/read_only_device.h.
  static Result<std::unique_ptr<Device>> open_read_only(TrustedDirectory directory,
                                                        SlowWatch* watch = nullptr);
  // As the first; `path` exists (ENOENT).
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
  [[nodiscard]] std::uint64_t reserve() const override { return reserve_; }
  [[nodiscard]] std::string name() const override { return directory_.path(); }

 private:
  FileDevice(TrustedDirectory directory, TrustedDirectory segments, TrustedDirectory recycle,
             Access access, std::uint64_t reserve, SlowWatch* watch)
      : directory_(std::move(directory)),
        segments_(std::move(segments)),
        recycle_(std::move(recycle)),
        access_(access),
        reserve_(reserve),
        watch_(watch) {}
  [[nodiscard]] const TrustedDirectory& folder_of(const std::string& path) const;
  Result<Fd> open_at(const std::string& path, int flags);

  const TrustedDirectory directory_;
  const TrustedDirectory segments_;
  const TrustedDirectory recycle_;
  const Access access_;
  const std::uint64_t reserve_;
  SlowWatch* const watch_;
};

}  // namespace spillfs::storage
