// SPDX-License-Identifier: Apache-2.0
// A file's sealed bytes as they are on the disk, against what they were when they were sealed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fs/volume/content/chunk_sums.h"
#include "index/index.h"
#include "storage/disk_reader.h"

namespace spillfs::fs {

struct Flaw {
  enum class Kind : std::uint8_t {
    kWrong,       // bytes that are not what was sealed
    kUnreadable,  // no bytes: whoever reads the file is told by itself
  };
  Kind kind = Kind::kUnreadable;
  std::uint64_t chunk = 0;   // kChunk bytes of the file
  std::uint64_t offset = 0;  // in the segment
  std::string what;
};

// One file, whose row in the index was `inode` and has sums. Not thread-safe; `index` and `disk`
// outlive it.
class SealedBytes {
 public:
  SealedBytes(index::Index& index, storage::DiskReader& disk, const index::Inode& inode)
      : index_(index), disk_(disk), id_(inode.id), at_(inode.location) {}

  // First; the rest needs what it reads.
  std::optional<Flaw> load_sums();
  [[nodiscard]] std::uint64_t chunks() const { return sums_.count(); }
  // What check() reads for it: nothing for a hole.
  std::uint64_t bytes_to_read(std::uint64_t chunk);
  std::optional<Flaw> check(std::uint64_t chunk);

 private:
  std::optional<Flaw> load_record();
  [[nodiscard]] std::uint64_t chunk_length(std::uint64_t chunk) const;
  bool is_hole(std::uint64_t chunk);
  [[nodiscard]] Flaw flaw(Flaw::Kind kind, std::uint64_t chunk, std::string what) const;

  index::Index& index_;
  storage::DiskReader& disk_;
  const InodeId id_;
  const Location at_;
  ChunkSums sums_;
};

}  // namespace spillfs::fs
