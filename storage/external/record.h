// SPDX-License-Identifier: Apache-2.0
// Ray's records: a RayHeader (storage/format.h) of three lengths, owner address, metadata, buffer.
// Lengths are 64 bits wide; a sum that does not fit is an error, never a smaller number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/external/external_storage.h"
#include "storage/external/object_store.h"
#include "storage/external/object_url.h"
#include "storage/format.h"

namespace spillfs::storage::external {

// What stands before the buffer. EINVAL "object ref … does not exist." when there is none.
Result<std::string> encode_record_head(const SpillObject& object);

// EINVAL "Obtained data has a size of …" unless the record's parts are `size` bytes together.
Result<> check_record_size(const RayHeader& header, std::uint64_t size);

// One record of a file, from its start to its end. For one thread.
class RecordReader final : public BufferReader {
 public:
  // `store` outlives the reader; `url` has offset and size of the record in the file `key`.
  RecordReader(ObjectStore& store, std::string key, ObjectUrl url)
      : store_(store), key_(std::move(key)), url_(std::move(url)) {}

  // Called once, first. All but the object's ref.
  Result<RestoredObject> read_head();
  // The buffer's next bytes.
  Result<std::size_t> read(MutableBytes into) override;

 private:
  // The next bytes that come from the store; EIO when the file ends before all of them.
  Result<> read_all(MutableBytes into);
  Result<std::size_t> read_some(MutableBytes into);
  Result<> read_ahead(std::uint64_t count);  // appends to ahead_
  [[nodiscard]] Failure ended(Where where = Where::here()) const;

  ObjectStore& store_;
  const std::string key_;
  const ObjectUrl url_;
  std::uint64_t fetched_ = 0;     // bytes of the record that were read from the store
  std::uint64_t left_ = 0;        // bytes of the buffer that nobody asked for yet
  std::vector<std::byte> ahead_;  // read from the store
  std::size_t used_ = 0;          // bytes of ahead_ that were handed out
};

}  // namespace spillfs::storage::external
