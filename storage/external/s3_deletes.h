// SPDX-License-Identifier: Apache-2.0
// Listing and deleting objects of an S3-compatible service, up to 1000 in a request; one by one at
// a service that has no such request.
//
// Threads: any.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "storage/external/s3_client.h"

namespace spillfs::storage::external {

class S3Deletes {
 public:
  explicit S3Deletes(S3Client& client) : client_(client) {}

  // A missing object is success. Goes on after an error and returns the first.
  Result<> remove(std::span<const std::string> keys);
  // Removes until nothing that starts with `prefix` is listed.
  Result<> remove_prefix(const std::string& prefix);

 private:
  Result<> remove_one(const std::string& key);
  Result<> remove_batch(std::span<const std::string> keys);
  Result<> remove_singly(std::span<const std::string> keys);
  Result<> settle_batch(const S3Reply& reply);
  Result<std::vector<std::string>> list(const std::string& prefix);

  S3Client& client_;
  std::atomic<bool> batches_{true};
};

}  // namespace spillfs::storage::external
