// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_client.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "storage/external/digest.h"

namespace spillfs::storage::external {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kSlowestRate = 64 * kKiB;  // bytes a second before a body is given up
constexpr seconds kLongestWish{30};
constexpr std::size_t kMaxMessage = 500;

std::string now_text() { return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::time(nullptr))); }

bool is_transient_status(int status) {
  static constexpr std::array<int, 6> kStatuses{408, 429, 500, 502, 503, 504};
  return std::find(kStatuses.begin(), kStatuses.end(), status) != kStatuses.end();
}

// A 200 may carry an <Error> where the service had to begin its reply before it knew the outcome.
S3Reply judge(HttpReply http) {
  S3Reply reply{.http = std::move(http)};
  const int status = reply.http.status;
  if (reply.http.end != HttpEnd::kWhole) {
    reply.end = reply.http.end == HttpEnd::kRefused ? S3End::kFailed : S3End::kTryAgain;
    reply.uncertain = reply.http.sent;
    return reply;
  }
  if (auto error = parse_error(reply.http.body)) {
    reply.error = *error;
  } else if (status / 100 == 2) {
    reply.end = S3End::kDone;
    return reply;
  }
  reply.end = is_transient(reply.error.code) || is_transient_status(status) ? S3End::kTryAgain
                                                                            : S3End::kFailed;
  reply.uncertain = reply.end == S3End::kTryAgain;
  return reply;
}

// As a 403, in replies with another status.
bool is_refusal(const std::string& code) {
  static constexpr std::array<std::string_view, 7> kCodes{
      "AccessDenied",   "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
      "InvalidTokenId", "InvalidToken",       "RequestTimeTooSkewed"};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

int errno_of(const S3Reply& reply) {
  if (reply.end == S3End::kTryAgain) return ETIMEDOUT;
  if (reply.http.end != HttpEnd::kWhole) return EIO;
  const int status = reply.http.status;
  const std::string& code = reply.error.code;
  if (status == 401 || status == 403 || is_refusal(code)) return EACCES;
  if (reply.is("PreconditionFailed", 412)) return EEXIST;
  // A bucket that is missing is no missing object.
  if (reply.is("NoSuchKey", 404)) return ENOENT;
  if (status == 507 || code == "XMinioStorageFull" || code == "XMinioAdminBucketQuotaExceeded" ||
      code == "QuotaExceeded") {
    return ENOSPC;
  }
  return EIO;
}

// What the service said, without what it may have repeated of our credentials.
std::string without_secrets(std::string text, const Credentials& credentials) {
  for (const std::string& secret :
       {credentials.access_key, credentials.secret_key, credentials.session_token}) {
    for (std::size_t at = 0; !secret.empty() && (at = text.find(secret)) != std::string::npos;) {
      text.replace(at, secret.size(), "…");
    }
  }
  return text;
}

std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  return text;
}

std::string skew_text(const HttpReply& reply) {
  const auto theirs = parse_http_date(reply.header("date"));
  if (!theirs) return "this machine's clock differs too much from the service's";
  return fmt::format("this machine's clock differs by {} s from the service's",
                     static_cast<long long>(std::time(nullptr) - *theirs));
}

}  // namespace

bool S3Reply::is(const std::string& code, int status) const {
  if (http.end != HttpEnd::kWhole) return false;
  return error.code.empty() ? http.status == status : error.code == code;
}

S3Client::S3Client(S3Settings settings) : settings_(std::move(settings)), http_(settings_.http) {}

S3Reply S3Client::call(const S3Request& request) {
  Retry retry = new_retry(request.body.size());
  bool uncertain = false;
  while (true) {
    S3Reply reply = attempt(request, retry.left());
    uncertain = uncertain || reply.uncertain;
    reply.tries = retry.begun();
    reply.uncertain = uncertain;
    if (reply.end != S3End::kTryAgain || !retry.again(wished_wait(reply.http))) return reply;
  }
}

S3Reply S3Client::attempt(const S3Request& request, milliseconds limit) {
  HttpRequest signed_request = sign(request);
  signed_request.limit = limit;
  return judge(http_.perform(signed_request));
}

Retry S3Client::new_retry(std::size_t size) const {
  const milliseconds for_bytes = seconds(size / kSlowestRate);
  return {settings_.retries, settings_.http.idle_timeout * (settings_.retries + 1) + for_bytes};
}

HttpRequest S3Client::sign(const S3Request& request) const {
  const HttpEndpoint& endpoint = settings_.endpoint;
  const SigningScope scope{.time = now_text(), .region = settings_.region, .service = "s3"};
  SigningRequest signing{.method = request.method,
                         .path = endpoint.path + "/" + encode_path(request.key),
                         .query = encode_query(request.query),
                         .headers = request.headers,
                         .payload_hash = hex(sha256(request.body))};
  if (request.key.empty() && !endpoint.path.empty()) signing.path = endpoint.path;
  signing.headers["host"] = endpoint.authority;
  signing.headers["x-amz-date"] = scope.time;
  // The service compares it with what it got: this is also the check of what is uploaded.
  signing.headers["x-amz-content-sha256"] = signing.payload_hash;
  if (!settings_.credentials.session_token.empty()) {
    signing.headers["x-amz-security-token"] = settings_.credentials.session_token;
  }
  HttpRequest http{.method = request.method,
                   .url = endpoint.scheme + "://" + endpoint.authority + signing.path,
                   .headers = signing.headers,
                   .body = request.body,
                   .into = request.into,
                   .connection = request.connection};
  if (!signing.query.empty()) http.url += "?" + signing.query;
  http.headers["authorization"] = authorization(signing, settings_.credentials, scope);
  return http;
}

Failure S3Client::failure(const S3Reply& reply, const std::string& doing, Where where) const {
  std::string text = doing + ": " + explain(reply);
  if (reply.tries > 1) text += fmt::format(", after {} tries", reply.tries);
  return fail(errno_of(reply), on_one_line(std::move(text)), where);
}

std::string S3Client::explain(const S3Reply& reply) const {
  const std::string& code = reply.error.code;
  if (reply.http.end != HttpEnd::kWhole) return reply.http.problem;
  std::string text = without_secrets(reply.error.message, settings_.credentials);
  if (text.empty()) text = "refused";
  if (text.size() > kMaxMessage) text.resize(kMaxMessage);
  if (code == "NoSuchBucket") text = "there is no bucket " + settings_.bucket;
  if (code == "RequestTimeTooSkewed") text = skew_text(reply.http);
  std::string region = reply.http.header("x-amz-bucket-region");
  if (region.empty()) region = reply.error.region;
  if (!region.empty() && region != settings_.region && code != "NoSuchBucket") {
    text = fmt::format("the bucket is in region {}, not in {}", region, settings_.region);
  }
  return fmt::format("{} ({}{}HTTP {})", text, code, code.empty() ? "" : ", ", reply.http.status);
}

std::string S3Client::name(const std::string& key) const {
  return fmt::format("s3://{}/{}", settings_.bucket, key);
}

bool is_transient(const std::string& code) {
  static constexpr std::array<std::string_view, 11> kCodes{"SlowDown",
                                                           "SlowDownRead",
                                                           "SlowDownWrite",
                                                           "InternalError",
                                                           "ServiceUnavailable",
                                                           "RequestTimeout",
                                                           "Throttling",
                                                           "ThrottlingException",
                                                           "BandwidthLimitExceeded",
                                                           "OperationAborted",
                                                           "ConditionalRequestConflict"};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

milliseconds wished_wait(const HttpReply& reply) {
  const std::string text = reply.header("retry-after");
  long wished = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), wished).ec != std::errc()) {
    const auto until = parse_http_date(text);
    wished = until ? static_cast<long>(*until - std::time(nullptr)) : 0;
  }
  return std::clamp(seconds(wished), seconds(0), kLongestWish);
}

}  // namespace spillfs::storage::external
