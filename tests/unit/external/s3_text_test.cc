// SPDX-License-Identifier: Apache-2.0
// The texts that go to and come from an S3-compatible service: uris, encodings, documents.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/external/http_client.h"
#include "storage/external/s3_encoding.h"
#include "storage/external/s3_object_store.h"
#include "storage/external/s3_reader.h"
#include "storage/external/s3_writer.h"
#include "storage/external/s3_xml.h"

namespace spillfs::storage::external {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(S3Uri, NamesABucketAndAPrefix) {
  const auto parse = [](const char* uri) { return parse_s3_uri(uri).value().value(); };
  EXPECT_EQ(parse("s3://bucket").bucket, "bucket");
  EXPECT_EQ(parse("s3://bucket").prefix, "");
  EXPECT_EQ(parse("s3://bucket/").prefix, "");
  EXPECT_EQ(parse("s3://my.bucket-1/a/b c").bucket, "my.bucket-1");
  EXPECT_EQ(parse("s3://my.bucket-1/a/b c").prefix, "a/b c");
  EXPECT_EQ(parse("s3://bucket/a//").prefix, "a");
}

TEST(S3Uri, IsNotEverything) {
  EXPECT_FALSE(parse_s3_uri("/some/directory").value());
  EXPECT_FALSE(parse_s3_uri("file:///some/directory").value());
  for (const char* uri : {"s3://", "s3:///key", "s3://ab", "s3://buck et/x", "s3://b%41cket"}) {
    EXPECT_EQ(parse_s3_uri(uri).error().code, EINVAL) << uri;
  }
  const auto with_keys = parse_s3_uri("s3://KEY:SECRET@bucket/x");
  ASSERT_FALSE(with_keys);
  EXPECT_THAT(with_keys.error().context, Not(HasSubstr("SECRET")));
}

TEST(S3Encoding, KeepsOnlyUnreservedCharacters) {
  EXPECT_EQ(encode_path("a/b c+d~e_f-g.h"), "a/b%20c%2Bd~e_f-g.h");
  EXPECT_EQ(encode_path("//x//"), "//x//");
  EXPECT_EQ(encode_path("größe/雪"), "gr%C3%B6%C3%9Fe/%E9%9B%AA");
  EXPECT_EQ(encode_path("100%!*'()@&=?#:"), "100%25%21%2A%27%28%29%40%26%3D%3F%23%3A");
  EXPECT_EQ(encode_component("a/b"), "a%2Fb");
}

TEST(S3Encoding, SortsQueriesByEncodedName) {
  EXPECT_EQ(encode_query({{"uploads", ""}, {"prefix", "a/b c"}, {"max-keys", "1"}}),
            "max-keys=1&prefix=a%2Fb%20c&uploads=");
  EXPECT_EQ(encode_query({}), "");
}

TEST(S3Encoding, DecodesListedKeys) {
  EXPECT_EQ(decode_listed("a%2Fb+c%2Bd"), "a/b c+d");
  EXPECT_EQ(decode_listed("%E9%9B%AA"), "雪");
  EXPECT_EQ(decode_listed("100%"), "100%");
  EXPECT_EQ(decode_listed("%zz%4"), "%zz%4");
}

TEST(S3Xml, ReadsAnError) {
  const auto error = parse_error(
      "<?xml version=\"1.0\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code>"
      "<Message>expecting &apos;eu-1&apos;</Message><Region>eu-1</Region></Error>");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error->message, "expecting 'eu-1'");
  EXPECT_EQ(error->region, "eu-1");
  EXPECT_FALSE(parse_error("<html><body>Bad gateway</body></html>"));
  EXPECT_FALSE(parse_error("Bad gateway"));
  EXPECT_FALSE(parse_error(""));
}

TEST(S3Xml, ReadsListings) {
  const auto keys = parse_listing(
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
      "<Contents><Key>a%2Fb</Key><Size>3</Size></Contents><Contents><Key>c+d</Key></Contents>"
      "<CommonPrefixes/></ListBucketResult>");
  EXPECT_THAT(keys.value(), ElementsAre("a/b", "c d"));
  EXPECT_THAT(parse_listing("<ListBucketResult/>").value(), IsEmpty());
  EXPECT_EQ(parse_listing("<Other/>").error().code, EIO);
  EXPECT_EQ(parse_listing("<ListBucketResult><Contents>").error().code, EIO);
}

TEST(S3Xml, ReadsUploads) {
  const auto page = parse_uploads(
      "<ListMultipartUploadsResult><NextKeyMarker>k%20</NextKeyMarker>"
      "<NextUploadIdMarker>m</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
      "<Upload><Key>a+b</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->key_marker, "k ");
  EXPECT_EQ(page->id_marker, "m");
  ASSERT_EQ(page->uploads.size(), 1U);
  EXPECT_EQ(page->uploads[0].key, "a b");
  EXPECT_EQ(page->uploads[0].id, "1");
}

TEST(S3Xml, ReadsUploadIdsAndDeleteErrors) {
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>x</UploadId>"
                            "</InitiateMultipartUploadResult>")
                .value(),
            "x");
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult/>").error().code, EIO);
  const auto errors = parse_delete_result(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
      "<Message>no</Message></Error></DeleteResult>");
  ASSERT_EQ(errors.value().size(), 1U);
  EXPECT_EQ(errors->front().key, "b");
  EXPECT_EQ(errors->front().code, "AccessDenied");
}

TEST(S3Xml, WritesWhatItIsGiven) {
  const std::vector<std::string> keys{"a<b>&\"c\"", "雪"};
  EXPECT_EQ(delete_document(keys),
            "<?xml version=\"1.0\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Quiet>true</Quiet><Object><Key>a&lt;b&gt;&amp;\"c\"</Key></Object>"
            "<Object><Key>雪</Key></Object></Delete>");
  const std::vector<std::string> etags{"\"1\"", "\"2\""};
  EXPECT_EQ(complete_document(etags),
            "<?xml version=\"1.0\"?><CompleteMultipartUpload "
            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Part><PartNumber>1</PartNumber><ETag>\"1\"</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>\"2\"</ETag></Part></CompleteMultipartUpload>");
}

TEST(S3Xml, KnowsWhatCannotStandInIt) {
  for (const char* text : {"", "plain", "a b", "größe", "雪", "\U0001F600", "\U0010FFFF"}) {
    EXPECT_TRUE(fits_xml(text)) << text;
  }
  // Control characters; broken, overlong, surrogate and too large sequences.
  for (const char* text : {"\n", "a\x01", "\x7F", "\xFF", "\xC3", "\xC0\x80", "\xE0\x80\x80",
                           "\xED\xA0\x80", "\xEF\xBF\xBF", "\xF4\x90\x80\x80", "\xE9\x9B"}) {
    EXPECT_FALSE(fits_xml(text)) << encode_component(text);
  }
}

TEST(ContentRange, IsReadStrictly) {
  const auto range = parse_content_range("bytes 5-9/20");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 5U);
  EXPECT_EQ(range->last, 9U);
  EXPECT_EQ(range->size, 20U);
  for (const char* text : {"", "bytes 5-9/*", "bytes 5-9", "bytes 9-5/20", "bytes 5-20/20",
                           "bytes 5-9/20x", "items 5-9/20", "bytes -5-9/20", "bytes 5-9/"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(PartSize, ReachesFiveTebibytesInTenThousandParts) {
  std::uint64_t total = 0;
  for (std::size_t number = 1; number <= kMaxParts; ++number) {
    const std::uint64_t size = part_size(kMiB, number);
    ASSERT_GE(size, kMinPart);
    ASSERT_LE(size, kMaxPart);
    total += size;
  }
  EXPECT_GE(total, 5 * kGiB * 1024);
  EXPECT_EQ(part_size(kMiB, 950), kMinPart);
  EXPECT_EQ(part_size(kMiB, 951), 2 * kMinPart);
  EXPECT_EQ(part_size(64 * kMiB, 1), 64 * kMiB);
  EXPECT_EQ(part_size(64 * kGiB, 1), kMaxPart);
}

TEST(Endpoint, IsAUrl) {
  const auto plain = parse_endpoint("http://127.0.0.1:9000").value();
  EXPECT_EQ(plain.scheme, "http");
  EXPECT_EQ(plain.authority, "127.0.0.1:9000");
  EXPECT_EQ(plain.path, "");
  const auto usual = parse_endpoint("https://s3.example.com:443/base/").value();
  EXPECT_EQ(usual.authority, "s3.example.com");
  EXPECT_EQ(usual.path, "/base");
  EXPECT_EQ(parse_endpoint("http://[::1]:9000").value().authority, "[::1]:9000");
  for (const char* text : {"", "127.0.0.1:9000", "ftp://x", "http://", "http://h?x=1",
                           "http://user:hidden@h", "http://h:port"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_EQ(endpoint.error().code, EINVAL);
    EXPECT_THAT(endpoint.error().context, Not(HasSubstr("hidden")));
  }
}

}  // namespace
}  // namespace spillfs::storage::external
