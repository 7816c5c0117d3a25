// SPDX-License-Identifier: Apache-2.0
// Objects in an S3-compatible service: AWS, MinIO, Ceph and their like.
//
// A writer holds one part: S3Parameters::buffer_size, at least 5 MiB, doubled every 950 parts.
// Beside object_store.h's errors there is ENOSPC from a service that is full or over its quota, and
// EFBIG for what does not fit 10 000 parts (beyond 5 TiB).
// Nothing waits for ever: a request has S3Parameters::timeout to get anywhere, and with all its
// tries (retries + 1) times that, and a second more for each 64 KiB it sends or receives.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/external/object_store.h"
#include "storage/external/object_uri.h"

namespace spillfs::storage::external {

struct S3Uri {
  std::string bucket;
  std::string prefix;  // without '/' at its end; empty: the whole bucket
};

// Nothing for what does not start with "s3://". EINVAL for a bad bucket's name.
Result<std::optional<S3Uri>> parse_s3_uri(std::string_view uri);

// The store of the objects "prefix/key", or "key" where `prefix` is empty. Nothing is asked of the
// service yet. EINVAL for bad parameters, EACCES where there are no credentials.
Result<std::unique_ptr<ObjectStore>> open_s3_store(const std::string& bucket,
                                                   const std::string& prefix,
                                                   const S3Parameters& parameters);

}  // namespace spillfs::storage::external
