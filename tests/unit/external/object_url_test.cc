// SPDX-License-Identifier: Apache-2.0
#include "storage/external/object_url.h"

#include <gtest/gtest.h>

#include <random>

namespace spillfs::storage::external {
namespace {

std::string shown(const std::string& url) {
  const auto parsed = parse_url_with_offset(url);
  if (!parsed) return parsed.error().context;
  return create_url_with_offset(parsed->base, parsed->offset, parsed->size);
}

TEST(ObjectUrl, ComesBackAsItWasMade) {
  for (const char* base : {"/tmp/ray_spilled_objects/ab-multi-2", "s3://bucket/a b/c%20d;e;f",
                           "file:///mnt/größe", "relative/path", "x", "", "http://host:80/a&b=c",
                           "bucket/spilled_objects/session/f", "/a//b/", "/c:/d"}) {
    for (const std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{4294967296}, ~std::uint64_t{0}}) {
      const auto parsed = parse_url_with_offset(create_url_with_offset(base, number, number));
      ASSERT_TRUE(parsed) << base;
      EXPECT_EQ(*parsed, (ObjectUrl{.base = base, .offset = number, .size = number}));
      EXPECT_TRUE(survives_parsing(base));
    }
  }
}

TEST(ObjectUrl, IsReadAsPythonReadsIt) {
  EXPECT_EQ(shown("/f?size=2&offset=1"), "/f?offset=1&size=2");
  EXPECT_EQ(shown("/f?a=b&&size=&size=2&offset=1&offset=9&c"), "/f?offset=1&size=2");
  EXPECT_EQ(shown("/f?%6Fffset=%31&size=+1_0%20#fragment"), "/f?offset=1&size=10");
  EXPECT_EQ(shown(" \t/a\tb\n?offset=1&size=2"), "/ab?offset=1&size=2");
  EXPECT_EQ(shown("S3://Bucket/Key?offset=1&size=2"), "s3://Bucket/Key?offset=1&size=2");
  EXPECT_EQ(shown("file:/a?offset=1&size=2"), "file:///a?offset=1&size=2");
  EXPECT_EQ(shown("s3:///a?offset=1&size=2"), "s3:/a?offset=1&size=2");
  EXPECT_EQ(shown("/a;?offset=1&size=2"), "/a?offset=1&size=2");
  EXPECT_EQ(shown("/a;b?c?offset=1&size=2"), "Failed to parse URL: /a;b?c?offset=1&size=2");
  EXPECT_EQ(shown("/a?b&offset=1&size=2?3"), "Failed to parse URL: /a?b&offset=1&size=2?3");
}

TEST(ObjectUrl, NeedsOffsetAndSize) {
  for (const char* url :
       {"", "/f", "/f?offset=1", "/f?size=1", "/f?offset=&size=1", "/f?offset=a&size=1",
        "/f?offset=1&size=-1", "/f?offset=1&size=18446744073709551616", "/f?offset=1.0&size=1",
        "/f?offset=1__0&size=1", "/f?offset=_1&size=1", "/f?offset=1_&size=1", "/f?Offset=1&size=1",
        "/f#?offset=1&size=1", "//[/f?offset=1&size=1", "/f?offset=0x1&size=1",
        "/f?offset=1%00&size=1", "/f?offset=%2B%2B1&size=1"}) {
    const auto parsed = parse_url_with_offset(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_EQ(parsed.error().code, EINVAL);
    EXPECT_EQ(parsed.error().context, std::string("Failed to parse URL: ") + url);
  }
}

TEST(ObjectUrl, SaysWhichBasesGetLost) {
  for (const char* base : {"/a?b", "/a#b", "/a\tb", "/a\nb", " /a", "/a;", "S3://a", "file:/a"}) {
    EXPECT_FALSE(survives_parsing(base)) << base;
  }
}

// Any bytes, and urls with some bytes changed: parsed or refused, and what is parsed is parsed
// again to the same.
TEST(ObjectUrl, TakesAnyBytes) {
  std::mt19937_64 random(20);
  const std::string alphabet = "abcS3:/?#&=;%+_[]019 \t\n\x00\xff offsetsize";
  for (int i = 0; i < 200'000; ++i) {
    std::string url = i % 2 == 0 ? "s3://b/k?offset=12&size=34" : "";
    for (std::size_t edits = random() % 12; edits > 0; --edits) {
      const char c =
          random() % 4 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
      url.insert(url.begin() + static_cast<std::ptrdiff_t>(random() % (url.size() + 1)), c);
    }
    const auto first = parse_url_with_offset(url);
    if (!first) continue;
    const std::string again = create_url_with_offset(first->base, first->offset, first->size);
    if (!survives_parsing(first->base)) continue;  // "s3:////host/a" is one host less each time
    EXPECT_EQ(parse_url_with_offset(again).value(), *first) << url;
  }
}

TEST(ObjectUrl, DecodesPercents) {
  EXPECT_EQ(percent_decoded("%4a%6a%6A%2"), "Jjj%2");
  EXPECT_EQ(percent_decoded("%%41%zz+"), "%A%zz+");
}

}  // namespace
}  // namespace spillfs::storage::external
