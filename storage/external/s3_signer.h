// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4 in the Authorization header. Reference: "Signature Calculations for the
// Authorization Header" in the Amazon S3 API reference.
#pragma once

#include <map>
#include <string>

namespace spillfs::storage::external {

// Lower-case names.
using Headers = std::map<std::string, std::string>;

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty: none
};

// Says for what a signature is good.
struct SigningScope {
  std::string time;  // "20130524T000000Z", also in the x-amz-date header
  std::string region;
  std::string service;
};

struct SigningRequest {
  std::string method;
  std::string path;   // percent-encoded, as sent
  std::string query;  // as encode_query() makes it
  Headers headers;    // all of them are signed; host is among them
  std::string payload_hash;
};

std::string canonical_request(const SigningRequest& request);

// The value of the Authorization header.
std::string authorization(const SigningRequest& request, const Credentials& credentials,
                          const SigningScope& scope);

}  // namespace spillfs::storage::external
