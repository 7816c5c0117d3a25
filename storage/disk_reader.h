// SPDX-License-Identifier: Apache-2.0
// Reads a file as it is on the disk, whatever the page cache has, in windows of a MiB: for those
// who walk through it. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/data_map.h"
#include "storage/device.h"

namespace spillfs::storage {

class DiskReader {
 public:
  // Of a file that could not be opened every read is its error.
  explicit DiskReader(Result<std::shared_ptr<File>> file) : file_(std::move(file)) {}

  // [offset, offset + length), fewer bytes at the end of the file. Valid until the next call.
  Result<Bytes> read(std::uint64_t offset, std::uint64_t length);
  // Whether all of that lies inside the file and is a hole, which reads as zeros.
  bool is_hole(std::uint64_t offset, std::uint64_t length);

 private:
  Result<> fill(std::uint64_t offset, std::uint64_t length);

  const Result<std::shared_ptr<File>> file_;
  std::optional<DataMap> data_;    // from the first question on
  std::uint64_t size_ = 0;         // as it was then
  std::vector<std::byte> memory_;  // the window lies in it, aligned
  MutableBytes window_;
  std::uint64_t start_ = 0;  // of the window in the file
  std::size_t filled_ = 0;   // bytes of the window
};

}  // namespace spillfs::storage
