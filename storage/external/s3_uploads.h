// SPDX-License-Identifier: Apache-2.0
// Writing objects of an S3-compatible service: in one request, or part by part.
//
// A method that fails leaves no object behind, nor does start() an upload; what part of an upload
// there is, abort() removes. Every new object is made with If-None-Match, so that of two writers
// one gets EEXIST; a service that does not know it (501) is asked beforehand instead, from then on.
// Threads: any.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "storage/external/s3_client.h"

namespace spillfs::storage::external {

class S3Uploads {
 public:
  explicit S3Uploads(S3Client& client) : client_(client) {}

  // `writer` is a random number that goes with the object, see kWriterHeader. EEXIST.
  Result<> put(const std::string& key, Bytes body, const std::string& writer);

  // EEXIST, as early as it can be known.
  Result<S3Upload> start(const std::string& key, const std::string& writer);
  // Parts count from 1. Returns the part's ETag.
  Result<std::string> put_part(const S3Upload& upload, std::size_t number, Bytes body);
  Result<> finish(const S3Upload& upload, std::span<const std::string> etags,
                  const std::string& writer);
  // An upload that is gone is success.
  Result<> abort(const S3Upload& upload);

  // Unfinished uploads of keys that start with `prefix`.
  Result<std::vector<S3Upload>> list(const std::string& prefix);

 private:
  Result<> refuse_taken(const std::string& key);
  S3Reply call_conditional(S3Request& request);
  Result<> settle(const S3Reply& reply, const std::string& key, const std::string& writer);
  void take_back(const std::string& key, const std::string& writer);
  Result<> abort_others(const std::string& key, const std::string& kept_id);
  Result<std::vector<S3Upload>> list_asking(const std::string& asked, const std::string& prefix);

  S3Client& client_;
  std::atomic<bool> conditional_{true};
};

}  // namespace spillfs::storage::external
