// SPDX-License-Identifier: Apache-2.0
// Where a file has bytes, and where a hole: for walks through files whose size says nothing of how
// much there is to read. Asks the file system once per hole. Not thread-safe.
#pragma once

#include <cstdint>

#include "storage/base/checksum.h"
#include "storage/base/result.h"
#include "storage/device.h"

namespace spillfs::storage {

class DataMap {
 public:
  explicit DataMap(File& file) : file_(file) {}  // `file` outlives it

  // Whether [offset, offset + length), which lies inside the file, is all hole and so reads as
  // zeros. False as well where the file system can't say.
  bool is_hole(std::uint64_t offset, std::uint64_t length);

 private:
  File& file_;
  std::uint64_t from_ = 0;  // the hole found last
  std::uint64_t to_ = 0;
};

// The sum of `length` zeros, at most a chunk.
std::uint64_t sum_of_zeros(std::uint64_t length);

}  // namespace spillfs::storage
