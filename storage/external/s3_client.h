// SPDX-License-Identifier: Apache-2.0
// Signed requests to one bucket of an S3-compatible service, tried again where that may help.
//
// Threads: any. Errors: as object_store.h says; their context ends with what the service said,
// never with a credential or a signature.
#pragma once

#include <chrono>
#include <string>

#include "storage/external/http_client.h"
#include "storage/external/retry.h"
#include "storage/external/s3_encoding.h"
#include "storage/external/s3_settings.h"
#include "storage/external/s3_xml.h"

namespace spillfs::storage::external {

struct S3Request {
  std::string method;
  std::string key;  // empty: the bucket
  Query query;
  Headers headers;  // beside those of every request
  Bytes body;
  MutableBytes into;
  HttpConnection connection = HttpConnection::kReused;
};

enum class S3End { kDone, kTryAgain, kFailed };

struct S3Reply {
  HttpReply http;
  S3End end = S3End::kFailed;
  S3Error error;  // what the service said, where it is not kDone
  unsigned tries = 1;
  bool uncertain = false;  // the request may have been carried out although a try failed

  // Whether the service said so, by its code or, where a reply has no body, by its status.
  [[nodiscard]] bool is(const std::string& code, int status) const;
};

class S3Client {
 public:
  explicit S3Client(S3Settings settings);

  // The last of as many tries as the settings allow.
  S3Reply call(const S3Request& request);
  // One try, within `limit`.
  S3Reply attempt(const S3Request& request, std::chrono::milliseconds limit);
  // For a request with `size` bytes of body: how often and how long to go on.
  [[nodiscard]] Retry new_retry(std::size_t size) const;

  // The Error of a reply that is not kDone; `doing` says what it was for.
  [[nodiscard]] Failure failure(const S3Reply& reply, const std::string& doing,
                                Where where = Where::here()) const;

  // "s3://bucket/key"
  [[nodiscard]] std::string name(const std::string& key) const;
  [[nodiscard]] const S3Settings& settings() const { return settings_; }

 private:
  HttpRequest sign(const S3Request& request) const;
  [[nodiscard]] std::string explain(const S3Reply& reply) const;

  const S3Settings settings_;
  HttpClient http_;
};

// Whether a request that failed with this code may do better later.
bool is_transient(const std::string& code);

// How long the service asks to wait, in its Retry-After header; at most half a minute.
std::chrono::milliseconds wished_wait(const HttpReply& reply);

}  // namespace spillfs::storage::external
