// SPDX-License-Identifier: Apache-2.0
#include "storage/external/s3_signer.h"

#include <fmt/format.h>

#include "storage/base/bytes.h"
#include "storage/external/digest.h"

namespace spillfs::storage::external {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

// Without spaces at its ends, and no two in a row.
std::string trimmed(std::string_view value) {
  std::string text;
  for (const char character : value) {
    if (character == ' ' && (text.empty() || text.back() == ' ')) continue;
    text += character;
  }
  if (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string signed_headers(const Headers& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string scope_text(const SigningScope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", scope.time.substr(0, 8), scope.region, scope.service);
}

std::string signing_key(const Credentials& credentials, const SigningScope& scope) {
  const std::string day = hmac_sha256("AWS4" + credentials.secret_key, scope.time.substr(0, 8));
  const std::string region = hmac_sha256(day, scope.region);
  return hmac_sha256(hmac_sha256(region, scope.service), "aws4_request");
}

}  // namespace

std::string canonical_request(const SigningRequest& request) {
  std::string headers;
  for (const auto& [name, value] : request.headers) headers += name + ":" + trimmed(value) + "\n";
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, request.query, headers,
                     signed_headers(request.headers), request.payload_hash);
}

std::string authorization(const SigningRequest& request, const Credentials& credentials,
                          const SigningScope& scope) {
  const std::string canonical_hash = hex(sha256(as_bytes(canonical_request(request))));
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, scope.time, scope_text(scope), canonical_hash);
  const std::string signature = hex(hmac_sha256(signing_key(credentials, scope), to_sign));
  return fmt::format("{} Credential={}/{},SignedHeaders={},Signature={}", kAlgorithm,
                     credentials.access_key, scope_text(scope), signed_headers(request.headers),
                     signature);
}

}  // namespace spillfs::storage::external
