// SPDX-License-Identifier: Apache-2.0
// Which bytes are which file's, by what the segments say of themselves. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/repair/rebuild.h"
#include "fs/repair/record_walk.h"
#include "storage/segments.h"

namespace spillfs::fs {

// A place that has, or had, an inode's bytes.
struct Claim {
  std::uint32_t segment = 0;   // its position in SegmentClaims::segments()
  bool doubtful = false;       // for /lost+found
  bool whole = true;           // a record's bytes match their sums
  std::uint64_t offset = 0;    // of a record
  std::uint64_t sequence = 0;  // of a record; of a private segment, its id
};

struct ClaimedSegment {
  storage::FoundSegment found;
  DirectoryId directory{};
  std::uint64_t size = 0;     // of a fused one, without superblock
  std::uint64_t damaged = 0;  // places
  std::uint64_t files = 0;    // whose bytes it has
  bool ours = true;
};

class SegmentClaims {
 public:
  using Tell = std::function<void(const std::string&)>;
  SegmentClaims(storage::SegmentStore& segments, RebuildReport& report, const Tell& tell)
      : store_(segments), report_(report), tell_(tell) {}

  // Reads every segment.
  Result<> collect(const TellProgress& progress = {});

  [[nodiscard]] std::vector<ClaimedSegment>& segments() { return segments_; }
  // The newest whole bytes of each inode, the highest inode first.
  [[nodiscard]] std::vector<std::pair<InodeId, Claim>> of_inodes() const;
  // Private segments of nobody that is known.
  [[nodiscard]] const std::vector<Claim>& strays() const { return strays_; }
  // Private segments that were never sealed.
  [[nodiscard]] const std::vector<std::uint32_t>& unsealed() const { return unsealed_; }
  [[nodiscard]] std::uint64_t highest_inode() const { return highest_inode_; }
  [[nodiscard]] std::uint64_t highest_segment() const { return highest_segment_; }
  [[nodiscard]] std::uint64_t highest_sequence() const { return highest_sequence_; }

 private:
  struct Best {
    Claim claim;
    bool is_private = false;
    std::uint64_t newest = 0;  // sequence number of a certain record, whole or not
  };

  Result<> collect_fused(std::uint32_t position);
  Result<bool> check_superblock(ClaimedSegment& segment, storage::DiskReader& disk);
  void claim_record(std::uint32_t position, const FoundRecord& found, bool whole);
  Result<> collect_private(std::uint32_t position);
  void claim_private(std::uint32_t position, InodeId inode, bool doubtful);
  void damage(ClaimedSegment& segment, std::uint64_t offset, const std::string& what);
  void leave_out(ClaimedSegment& segment, const std::string& why);

  storage::SegmentStore& store_;
  RebuildReport& report_;
  const Tell& tell_;
  std::vector<ClaimedSegment> segments_;
  std::unordered_map<std::uint64_t, Best> best_;
  std::vector<Claim> strays_;
  std::vector<std::uint32_t> unsealed_;
  std::uint64_t highest_inode_ = number(kRootInode);
  std::uint64_t highest_segment_ = 0;
  std::uint64_t highest_sequence_ = 0;
};

// "7.fused"
std::string name_of(const ClaimedSegment& segment);

}  // namespace spillfs::fs
