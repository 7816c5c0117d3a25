// SPDX-License-Identifier: Apache-2.0
// What an S3 client runs with: S3Parameters, and what they leave open filled in from the
// environment, the shared credentials file and AWS's defaults.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "storage/external/http_client.h"
#include "storage/external/object_uri.h"
#include "storage/external/s3_signer.h"

namespace spillfs::storage::external {

struct S3Settings {
  HttpEndpoint endpoint;  // the bucket is in its authority or its path
  std::string bucket;
  std::string region;
  bool own_service = false;  // an endpoint was given: not AWS itself
  Credentials credentials;
  HttpSettings http;
  unsigned retries = 0;
};

// The value of a variable; nothing where it is unset or empty.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment process_environment();

// EINVAL for what is wrong with the parameters, EACCES where there are no credentials.
Result<S3Settings> resolve_settings(const std::string& bucket, const S3Parameters& parameters,
                                    const Environment& environment);

// One [profile] of the shared credentials file's text; missing keys are empty.
struct SharedProfile {
  Credentials credentials;
  std::string region;
};
SharedProfile parse_profile(std::string_view text, std::string_view profile);

}  // namespace spillfs::storage::external
