// SPDX-License-Identifier: Apache-2.0
// Against the examples that AWS publishes with the calculation ("Signature Calculations for the
// Authorization Header", Amazon S3 API reference) and in its Signature Version 4 test suite.
#include "storage/external/s3_signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/external/digest.h"
#include "storage/external/s3_encoding.h"

namespace spillfs::storage::external {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr const char* kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const Credentials kExample{.access_key = "AKIAIOSFODNN7EXAMPLE",
                           .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
const SigningScope kScope{.time = "20130524T000000Z", .region = "us-east-1", .service = "s3"};

SigningRequest example(const std::string& method, const std::string& path,
                       const std::string& hash) {
  return {.method = method,
          .path = path,
          .headers = {{"host", "examplebucket.s3.amazonaws.com"},
                      {"x-amz-content-sha256", hash},
                      {"x-amz-date", kScope.time}},
          .payload_hash = hash};
}

TEST(S3Signer, SignsAGetOfARange) {
  SigningRequest request = example("GET", "/test.txt", kEmptyHash);
  request.headers["range"] = "bytes=0-9";
  EXPECT_EQ(authorization(request, kExample, kScope),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3Signer, SignsAPutWithABodyAndAnEncodedKey) {
  const std::string hash = hex(sha256(as_bytes("Welcome to Amazon S3.")));
  EXPECT_EQ(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  SigningRequest request = example("PUT", encode_path("/test$file.text"), hash);
  request.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  request.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY";
  EXPECT_THAT(
      authorization(request, kExample, kScope),
      EndsWith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(S3Signer, SignsAQueryWithoutAValue) {
  SigningRequest request = example("GET", "/", kEmptyHash);
  request.query = encode_query({{"lifecycle", ""}});
  EXPECT_THAT(
      authorization(request, kExample, kScope),
      EndsWith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(S3Signer, SignsASortedQuery) {
  SigningRequest request = example("GET", "/", kEmptyHash);
  request.query = encode_query({{"prefix", "J"}, {"max-keys", "2"}});
  EXPECT_THAT(
      authorization(request, kExample, kScope),
      EndsWith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(S3Signer, AgreesWithTheTestSuite) {
  const Credentials suite{.access_key = "AKIDEXAMPLE",
                          .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
  const SigningScope scope{.time = "20150830T123600Z", .region = "us-east-1", .service = "service"};
  SigningRequest request{.method = "GET",
                         .path = "/",
                         .headers = {{"host", "example.amazonaws.com"}, {"x-amz-date", scope.time}},
                         .payload_hash = kEmptyHash};
  EXPECT_THAT(
      authorization(request, suite, scope),
      EndsWith("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
  request.query = encode_query({{"Param2", "value2"}, {"Param1", "value1"}});
  EXPECT_THAT(
      authorization(request, suite, scope),
      EndsWith("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST(S3Signer, TrimsHeaderValues) {
  SigningRequest request = example("GET", "/", kEmptyHash);
  request.headers["x-amz-meta-note"] = "  a   b ";
  EXPECT_THAT(canonical_request(request), HasSubstr("\nx-amz-meta-note:a b\n"));
}

TEST(Digest, HasThePublishedValues) {
  EXPECT_EQ(hex(sha256({})), kEmptyHash);
  // RFC 4231, test case 2; RFC 1321, "abc".
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(md5_base64(as_bytes("abc")).value(), "kAFQmDzST7DWlj99KOF/cg==");
}

}  // namespace
}  // namespace spillfs::storage::external
