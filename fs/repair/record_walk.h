// SPDX-License-Identifier: Apache-2.0
// The records of a fused segment from its bytes alone, whatever is damaged in it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "storage/disk_reader.h"
#include "storage/format.h"

namespace spillfs::fs {

enum class Trust : std::uint8_t {
  kCertain,   // each record before it says where the next one is
  kDoubtful,  // found by its looks behind a damaged one: perhaps a file's bytes that look so
};

struct FoundRecord {
  std::uint64_t offset = 0;
  Trust trust = Trust::kCertain;
  storage::DecodedRecord record;
};

struct RecordVisitor {
  std::function<Result<>(const FoundRecord&)> found;
  std::function<void(std::uint64_t offset, const std::string& what)> damaged;
};

// Visits the records of a segment of `size` bytes in order. Behind a header that can't be read it
// goes on where the header says, if there is a record or the end, else wherever one looks like it.
Result<> walk_records(storage::DiskReader& disk, std::uint64_t size, const RecordVisitor& visitor);

}  // namespace spillfs::fs
