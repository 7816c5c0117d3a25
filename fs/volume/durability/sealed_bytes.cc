// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/sealed_bytes.h"

#include <algorithm>

#include "storage/base/checksum.h"
#include "storage/format.h"

namespace spillfs::fs {

Flaw SealedBytes::flaw(Flaw::Kind kind, std::uint64_t chunk, std::string what) const {
  return {.kind = kind,
          .chunk = chunk,
          .offset = at_.data_offset + chunk * kChunk,
          .what = std::move(what)};
}

std::uint64_t SealedBytes::chunk_length(std::uint64_t chunk) const {
  return std::min(kChunk, at_.length - chunk * kChunk);
}

std::optional<Flaw> SealedBytes::load_sums() {
  if (at_.placement == Placement::kFused) return load_record();
  sums_ = ChunkSums(index_, at_.segment, chunk_count(at_.length));
  return std::nullopt;
}

std::optional<Flaw> SealedBytes::load_record() {
  const auto found = [&](Flaw::Kind kind, std::string what) {
    return Flaw{.kind = kind, .offset = at_.record_offset, .what = std::move(what)};
  };
  const std::uint64_t length = at_.data_offset - at_.record_offset;
  const auto prefix = disk_.read(at_.record_offset, length);
  if (!prefix) return found(Flaw::Kind::kUnreadable, prefix.error().context);
  if (prefix->size() != length) return found(Flaw::Kind::kUnreadable, "the segment ends early");
  auto record = storage::decode_record_header(*prefix);
  if (!record) return found(Flaw::Kind::kWrong, record.error().context);
  if (record->info.inode != id_ || record->info.data_length != at_.length) {
    return found(Flaw::Kind::kWrong, "the record contradicts the index");
  }
  sums_ = ChunkSums(std::move(record->info.sums));
  return std::nullopt;
}

bool SealedBytes::is_hole(std::uint64_t chunk) {
  return at_.placement == Placement::kPrivate && disk_.is_hole(chunk * kChunk, chunk_length(chunk));
}

std::uint64_t SealedBytes::bytes_to_read(std::uint64_t chunk) {
  return is_hole(chunk) ? 0 : chunk_length(chunk);
}

std::optional<Flaw> SealedBytes::check(std::uint64_t chunk) {
  const std::uint64_t length = chunk_length(chunk);
  const auto sum = sums_.at(chunk);
  if (!sum) return flaw(Flaw::Kind::kUnreadable, chunk, sum.error().context);
  constexpr const char* kWrong = "the bytes do not match their sum";
  if (is_hole(chunk)) {
    if (storage::sum_of_zeros(length) == *sum) return std::nullopt;
    return flaw(Flaw::Kind::kWrong, chunk, kWrong);
  }
  const auto bytes = disk_.read(at_.data_offset + chunk * kChunk, length);
  if (!bytes) return flaw(Flaw::Kind::kUnreadable, chunk, bytes.error().context);
  if (bytes->size() != length) {
    return flaw(Flaw::Kind::kUnreadable, chunk, "the segment ends early");
  }
  if (xxh3(*bytes) == *sum) return std::nullopt;
  return flaw(Flaw::Kind::kWrong, chunk, kWrong);
}

}  // namespace spillfs::fs
