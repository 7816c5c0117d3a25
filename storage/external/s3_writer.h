// SPDX-License-Identifier: Apache-2.0
// An object on its way into an S3-compatible service. Up to one part is held in memory; an object
// that does not outgrow it is one request, a larger one is uploaded part by part.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/external/object_store.h"
#include "storage/external/s3_uploads.h"

namespace spillfs::storage::external {

inline constexpr std::uint64_t kMinPart = 5 * kMiB;  // S3's limits
inline constexpr std::uint64_t kMaxPart = 5 * kGiB;
inline constexpr std::size_t kMaxParts = 10000;

// The size of part `number` (from 1) where the first has `first`: it doubles every 950 parts, so
// that 10 000 of the smallest reach beyond 5 TiB, and the first 5 GB need no more than the first's.
std::uint64_t part_size(std::uint64_t first, std::size_t number);

class S3Writer final : public ObjectWriter {
 public:
  // `uploads` is shared with the store, which may end before its writers.
  S3Writer(std::shared_ptr<S3Uploads> uploads, std::string key, std::uint64_t first_part);
  // Leaves nothing behind of an object that was not finished.
  ~S3Writer() override;
  S3Writer(const S3Writer&) = delete;
  S3Writer& operator=(const S3Writer&) = delete;

  Result<> write(Bytes from) override;
  Result<> finish() override;

 private:
  enum class State { kOpen, kFinished, kFailed };

  Result<> take(Bytes from);
  Result<> end();
  Result<> put_part(Bytes bytes);
  void abandon();
  [[nodiscard]] std::uint64_t next_part() const {
    return part_size(first_part_, etags_.size() + 1);
  }

  const std::shared_ptr<S3Uploads> uploads_;
  const std::string key_;
  const std::string writer_;  // see kWriterHeader
  const std::uint64_t first_part_;
  State state_ = State::kOpen;
  std::vector<std::byte> buffer_;  // less than next_part(), or just that much
  std::optional<S3Upload> upload_;
  std::vector<std::string> etags_;  // of the parts so far
};

}  // namespace spillfs::storage::external
