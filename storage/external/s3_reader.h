// SPDX-License-Identifier: Apache-2.0
// Reading objects of an S3-compatible service.
#pragma once

#include <optional>
#include <string>

#include "storage/external/s3_client.h"

namespace spillfs::storage::external {

// Our own metadata of an object: a random number that says which writer made it. A request whose
// reply got lost is sent again, and only this tells our object from another's.
inline constexpr const char* kWriterHeader = "x-amz-meta-spillfs-writer";

// The writer of the object, empty where it has none; nothing where there is no object.
Result<std::optional<std::string>> find_writer(S3Client& client, const std::string& key);

// As ObjectStore::read(). A transfer that breaks off goes on from where it stopped; EIO when the
// object was replaced meanwhile.
Result<std::size_t> read_object(S3Client& client, const std::string& key, MutableBytes into,
                                std::uint64_t offset);

// "bytes 5-9/20" or nothing.
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  std::uint64_t size = 0;  // of the object
};
std::optional<ContentRange> parse_content_range(const std::string& text);

}  // namespace spillfs::storage::external
