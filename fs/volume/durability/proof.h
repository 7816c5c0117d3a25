// SPDX-License-Identifier: Apache-2.0
// Are an inode's sealed bytes those that were sealed? For files that the power may have taken.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fs/volume/content/chunk_sums.h"
#include "index/index.h"
#include "storage/base/result.h"
#include "storage/data_map.h"
#include "storage/segments.h"

namespace spillfs::fs {

// Compares one inode's bytes with their sums, some at a time; holes are not read. Not thread-safe.
class ByteProof {
 public:
  enum class Verdict : std::uint8_t {
    kGoesOn,
    kWhole,
    kLost,  // also: its segment is missing, cut short or another's; there are no sums to compare
            // with
  };

  // What is given outlives it. `inode` as the index has it.
  ByteProof(index::Inode inode, index::Index& index, storage::SegmentStore& segments)
      : inode_(std::move(inode)), index_(index), segments_(segments) {}

  // Reads about `bytes` more, at least one chunk. An error is the disk's.
  Result<Verdict> step(std::uint64_t bytes);
  [[nodiscard]] const index::Inode& inode() const { return inode_; }
  // Read by the latest step.
  [[nodiscard]] std::uint64_t bytes_read() const { return read_; }

 private:
  // False when there is nothing that could be whole.
  Result<bool> open();
  Result<bool> open_record(const storage::StoreId& store);
  Result<bool> matches(std::uint64_t chunk);

  const index::Inode inode_;
  index::Index& index_;
  storage::SegmentStore& segments_;
  std::shared_ptr<storage::File> file_;
  std::optional<storage::DataMap> data_;  // of a private segment
  ChunkSums sums_;
  std::uint64_t next_ = 0;  // chunk
  std::uint64_t read_ = 0;
  std::vector<std::byte> chunk_;
};

}  // namespace spillfs::fs
