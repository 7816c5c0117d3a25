// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs {
namespace {

TEST(ParseSize, ReadsBinaryMultiples) {
  EXPECT_EQ(parse_size("4096").value(), 4096U);
  EXPECT_EQ(parse_size("4k").value(), 4096U);
  EXPECT_EQ(parse_size("64MiB").value(), 64 * kMiB);
  EXPECT_EQ(parse_size("1.5G").value(), kGiB * 3 / 2);
  EXPECT_EQ(parse_size("2tib").value(), 2048 * kGiB);
  EXPECT_EQ(parse_size("12B").value(), 12U);
  EXPECT_EQ(parse_size("1.0").value(), 1U);
  EXPECT_EQ(parse_size("0.1GiB").value(), 107374182U);
  EXPECT_EQ(parse_size("0.0").value(), 0U);
  EXPECT_EQ(parse_size("9223372036854775807").value(), 9223372036854775807U) << "to the last bit";
  EXPECT_EQ(parse_size("0").value(), 0U);
}

TEST(ParseSize, RefusesWhatIsNotASize) {
  for (const char* text : {"", "x", "-1", "4q", "4 k", "1e3", "nan", "99999999T", "4kk", "4ki"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL);
    EXPECT_NE(size.error().context.find("64MiB"), std::string::npos);
  }
}

TEST(ParseSize, RefusesPartsOfAByte) {
  for (const char* text : {"0.5", "0.9", "1.5", "1.5B", "4096.1"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL);
    EXPECT_NE(size.error().context.find("no whole number of bytes"), std::string::npos);
  }
  for (const char* text : {"0.0001KiB", "0.0000001M", "0.000000000001G"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_NE(size.error().context.find("less than a byte"), std::string::npos);
  }
}

// Before, "10GB" was 10GiB, ten millions of what another program takes it for more.
TEST(ParseSize, RefusesUnitsOfTwoMeanings) {
  for (const char* text : {"10GB", "10gb", "1kb", "2Tb", "1.5MB"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL);
  }
  EXPECT_EQ(parse_size("10gb").error().context,
            "'10gb' is 10GiB to some and 10000000000 bytes to others; write 10GiB, which it was "
            "here before, or 10000000000");
  EXPECT_EQ(parse_size("1.5kb").error().context,
            "'1.5kb' is 1.5KiB to some and 1500 bytes to others; write 1.5KiB, which it was here "
            "before, or 1500");
}

TEST(FormatSize, IsExactAndParsesBack) {
  EXPECT_EQ(format_size(64 * kMiB), "64MiB");
  EXPECT_EQ(format_size(1000), "1000");
  for (std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, kKiB, kMiB + kKiB, 7 * kGiB}) {
    EXPECT_EQ(parse_size(format_size(size)).value(), size);
  }
}

TEST(Checksum, Crc32cHasThePublishedCheckValue) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
}

TEST(Checksum, Xxh3HasThePublishedValueForNoBytes) { EXPECT_EQ(xxh3({}), 0x2D06800538D394C2U); }

TEST(Checksum, OneSumPerChunk) {
  const std::vector<std::byte> bytes(2 * kChunk + 1);
  const auto sums = chunk_sums(bytes);
  ASSERT_EQ(sums.size(), 3U);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[2], xxh3(Bytes(bytes).last(1)));
  EXPECT_TRUE(chunk_sums({}).empty());
}

TEST(Fd, ClosesItsDescriptorOnce) {
  const int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Fd first(raw);
    Fd second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), raw);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

Result<int> half(int value) {
  if (value % 2 != 0) return fail(EINVAL, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  const int once = SPILLFS_TRY(half(value));
  return half(once);
}

TEST(Result, TryPassesTheErrorUpUnchanged) {
  EXPECT_EQ(quarter(8).value(), 2);
  const auto failed = quarter(6);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, EINVAL);
  EXPECT_EQ(describe(failed.error()).rfind("odd [base_test.cc:", 0), 0U);
}

}  // namespace
}  // namespace spillfs
