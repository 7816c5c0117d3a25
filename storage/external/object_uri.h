// SPDX-License-Identifier: Apache-2.0
// From a uri to the object store it names.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/external/object_store.h"

namespace spillfs::storage::external {

// How to talk to an S3-compatible service. What is empty comes from the environment
// (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE), then from
// the shared credentials file, then from AWS's defaults. Never logged.
struct S3Parameters {
  std::string endpoint;  // "http://127.0.0.1:9000"; its scheme says whether TLS is used
  std::string region;
  std::string access_key;
  std::string secret_key;
  std::string session_token;
  std::string ca_file;               // PEM; empty: the system's
  bool virtual_host = false;         // bucket in the host name; AWS itself always has it there
  std::uint64_t buffer_size = kMiB;  // bytes held while writing; a part is at least 5 MiB
  unsigned retries = 5;              // after the first try
  std::chrono::milliseconds timeout{60000};  // without any progress
};

// "s3://bucket" and "s3://bucket/prefix" are S3ObjectStores, everything else is a directory, which
// has to exist ("file://" may stand before it). EINVAL says what is wrong with the uri.
Result<std::unique_ptr<ObjectStore>> open_object_store(const std::string& uri,
                                                       const S3Parameters& parameters);

}  // namespace spillfs::storage::external
