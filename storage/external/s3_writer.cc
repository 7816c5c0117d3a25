// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>

namespace spillfs::storage::external {
namespace {

constexpr std::size_t kPartsOfASize = 950;

std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace

std::uint64_t part_size(std::uint64_t first, std::size_t number) {
  return std::min(kMaxPart, std::clamp(first, kMinPart, kMaxPart) << (number - 1) / kPartsOfASize);
}

S3Writer::S3Writer(std::shared_ptr<S3Uploads> uploads, std::string key, std::uint64_t first_part)
    : uploads_(std::move(uploads)),
      key_(std::move(key)),
      writer_(random_name()),
      first_part_(first_part) {}

S3Writer::~S3Writer() { abandon(); }

Result<> S3Writer::write(Bytes from) {
  if (state_ != State::kOpen) return fail(EINVAL, "write to " + key_ + ": it has ended");
  Result<> result = take(from);
  if (!result) abandon();
  return result;
}

Result<> S3Writer::finish() {
  if (state_ != State::kOpen) return fail(EINVAL, "finish " + key_ + ": it has ended");
  Result<> result = end();
  if (!result) {
    abandon();
    return result;
  }
  state_ = State::kFinished;
  buffer_ = {};
  return {};
}

Result<> S3Writer::take(Bytes from) {
  // A full buffer waits for the byte that makes it a part: it may be the whole object.
  while (buffer_.size() + from.size() > next_part()) {
    if (buffer_.empty()) {
      const std::size_t size = next_part();
      SPILLFS_TRY(put_part(from.first(size)));  // from where it lies
      from = from.subspan(size);
      continue;
    }
    const Bytes more = from.first(next_part() - buffer_.size());
    buffer_.insert(buffer_.end(), more.begin(), more.end());
    from = from.subspan(more.size());
    SPILLFS_TRY(put_part(buffer_));
    buffer_.clear();
  }
  buffer_.insert(buffer_.end(), from.begin(), from.end());
  return {};
}

Result<> S3Writer::end() {
  if (upload_ && !buffer_.empty()) SPILLFS_TRY(put_part(buffer_));
  return upload_ ? uploads_->finish(*upload_, etags_, writer_)
                 : uploads_->put(key_, buffer_, writer_);
}

Result<> S3Writer::put_part(Bytes bytes) {
  if (etags_.size() == kMaxParts) return fail(EFBIG, "write " + key_ + ": more than 10000 parts");
  if (!upload_) upload_ = SPILLFS_TRY(uploads_->start(key_, writer_));
  etags_.push_back(SPILLFS_TRY(uploads_->put_part(*upload_, etags_.size() + 1, bytes)));
  return {};
}

void S3Writer::abandon() {
  if (state_ != State::kOpen) return;
  state_ = State::kFailed;
  buffer_ = {};
  if (!upload_) return;
  if (auto aborted = uploads_->abort(*upload_); !aborted) {
    spdlog::warn("an unfinished upload may be left: {}", describe(aborted.error()));
  }
}

}  // namespace spillfs::storage::external
