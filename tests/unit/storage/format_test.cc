// SPDX-License-Identifier: Apache-2.0
#include "storage/format.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace spillfs::storage {
namespace {

StoreId example_store() {
  StoreId store{};
  for (std::size_t i = 0; i < store.size(); ++i) store[i] = std::byte(0x10 + i);
  return store;
}

// The file of the example in docs/FORMAT.md.
RecordInfo example_record() {
  RecordInfo info{.sequence = 7,
                  .inode = InodeId{42},
                  .mode = 0100644,
                  .uid = 1000,
                  .gid = 1000,
                  .path = "/a",
                  .owner_address = "owner",
                  .metadata = "PYTHON"};
  const std::array payload{as_bytes("hello, spill")};
  measure(info, payload);
  return info;
}

// "0000  53 50 …": the text of FORMAT.md's example.
std::string dump(Bytes bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    text += fmt::format("{:04x} ", at);
    for (std::byte b : bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at))) {
      text += fmt::format(" {:02x}", static_cast<unsigned>(b));
    }
    text += '\n';
  }
  return text;
}

std::string format_document() {
  std::ifstream file(SPILLFS_SOURCE_DIR "/docs/FORMAT.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::byte> example_bytes() {
  std::vector<std::byte> bytes = encode_record_prefix(example_record()).value();
  for (char c : std::string_view("hello, spill")) bytes.push_back(static_cast<std::byte>(c));
  bytes.resize(record_layout(example_record())->length);
  return bytes;
}

TEST(Format, TheDocumentsExamplesAreTheBytesWeWrite) {
  const auto superblock = encode_superblock(example_store(), SegmentId{3});
  const std::string document = format_document();
  const std::string first = dump(Bytes(superblock).first(48));
  EXPECT_NE(document.find(first), std::string::npos) << first;
  const std::string record = dump(example_bytes());
  EXPECT_NE(document.find(record), std::string::npos) << record;
  const Identity identity{example_store(), InodeId{42}, 1234, 0100644, 1000, 1000, "/a"};
  EXPECT_NE(document.find(encode_identity(identity)), std::string::npos)
      << encode_identity(identity);
}

TEST(Format, ARecordDecodesToWhatItWas) {
  const auto bytes = example_bytes();
  EXPECT_EQ(record_prefix_length(bytes).value(), record_layout(example_record())->data_offset);
  const auto decoded = decode_record_header(bytes);
  ASSERT_TRUE(decoded) << describe(decoded.error());
  EXPECT_EQ(decoded->info, example_record());
  EXPECT_EQ(decoded->layout.data_offset % kRecordAlignment, 0U);
  EXPECT_EQ(decoded->layout.length, bytes.size());
  EXPECT_EQ(as_text(Bytes(bytes).subspan(decoded->layout.data_offset, 12)), "hello, spill");
}

TEST(Format, RaysRecordStartsWithItsThreeLengths) {
  const auto bytes = example_bytes();
  const auto layout = record_layout(example_record()).value();
  const auto ray = load<RayHeader>(Bytes(bytes).subspan(layout.ray_offset));
  EXPECT_EQ(ray.owner_address_length, 5U);
  EXPECT_EQ(ray.metadata_length, 6U);
  EXPECT_EQ(ray.data_length, 12U);
}

TEST(Format, EveryFlippedBitBeforeTheBufferIsNoticed) {
  const auto good = example_bytes();
  const std::uint64_t prefix = record_layout(example_record())->data_offset;
  for (std::size_t bit = 0; bit < prefix * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= std::byte(1U << (bit % 8));
    const auto decoded = decode_record_header(bad);
    ASSERT_FALSE(decoded) << "bit " << bit;
    ASSERT_EQ(decoded.error().code, EIO);
  }
}

TEST(Format, EveryCutBeforeTheBufferIsNoticed) {
  const auto good = example_bytes();
  for (std::size_t n = 0; n < record_layout(example_record())->data_offset; ++n) {
    ASSERT_FALSE(decode_record_header(Bytes(good).first(n))) << n;
  }
}

TEST(Format, ASuperblockSaysWhatIsWrongWithIt) {
  const auto good = encode_superblock(example_store(), SegmentId{3});
  EXPECT_TRUE(verify_superblock(good, example_store(), SegmentId{3}));
  const auto context = [](const std::vector<std::byte>& bytes, const StoreId& store,
                          std::uint64_t id) {
    return verify_superblock(bytes, store, SegmentId{id}).error().context;
  };
  EXPECT_EQ(context(good, example_store(), 4), "segment 3 where 4 should be");
  EXPECT_NE(context(good, StoreId{}, 3).find("another store"), std::string::npos);
  auto bad = good;
  bad[100] = std::byte{1};
  EXPECT_NE(context(bad, example_store(), 3).find("crc32c"), std::string::npos);
  bad[0] = std::byte{0};
  EXPECT_NE(context(bad, example_store(), 3).find("magic"), std::string::npos);
  bad.resize(100);
  EXPECT_NE(context(bad, example_store(), 3).find("cut short"), std::string::npos);
}

// `bytes` with `value` at `offset`, and the crc at `crc_offset` of the first `covered` bytes made
// anew.
std::vector<std::byte> forged(std::vector<std::byte> bytes, std::size_t offset, std::byte value,
                              std::size_t crc_offset, std::size_t covered) {
  bytes[offset] = value;
  const auto field = MutableBytes(bytes).subspan(crc_offset, sizeof(std::uint32_t));
  std::fill(field.begin(), field.end(), std::byte{0});
  const std::uint32_t crc = crc32c(Bytes(bytes).first(covered));
  std::copy_n(bytes_of(crc).begin(), sizeof(crc), field.begin());
  return bytes;
}

TEST(Format, WhatShouldBeZeroHasToBe) {
  const auto prefix = record_layout(example_record())->data_offset;
  const auto record_with = [&](std::size_t offset, int value) {
    return decode_record_header(
        forged(example_bytes(), offset, std::byte(value), offsetof(RecordHeader, crc), prefix));
  };
  const std::size_t padding = sizeof(RecordHeader) + std::string_view("/a").size() + 8;
  ASSERT_EQ(load<RecordHeader>(example_bytes()).padding_length, 3U);
  EXPECT_TRUE(record_with(padding, 0));
  EXPECT_EQ(record_with(padding, 1).error().context, "record whose padding is not zero");
  EXPECT_EQ(record_with(padding + 2, 1).error().context, "record whose padding is not zero");
  const auto block = encode_superblock(example_store(), SegmentId{3});
  for (const std::size_t offset : {offsetof(Superblock, zero), kSuperblockSize - 1}) {
    const auto decoded = decode_superblock(
        forged(block, offset, std::byte{1}, offsetof(Superblock, crc), kSuperblockSize));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().context, "superblock with bytes where zeros should be");
  }
}

TEST(Format, ABufferIsAlwaysAligned) {
  auto header = load<RecordHeader>(example_bytes());
  EXPECT_TRUE(record_prefix_length(bytes_of(header)));
  ++header.padding_length;
  ++header.header_length;
  const auto length = record_prefix_length(bytes_of(header));
  ASSERT_FALSE(length);
  EXPECT_EQ(length.error().context, "record header whose lengths contradict each other");
}

TEST(Format, RefusesFieldsBeyondTheirLimits) {
  RecordInfo info = example_record();
  info.path.assign(kMaxField + 1, 'x');
  EXPECT_EQ(record_layout(info).error().code, EINVAL);
  info = example_record();
  info.sums.push_back(1);
  EXPECT_EQ(record_layout(info).error().code, EINVAL);
}

TEST(Format, AnIdentityDecodesToWhatItWas) {
  const Identity identity{example_store(), InodeId{42}, 1234, 0100644, 1000, 1000, "/a b/ c"};
  EXPECT_EQ(decode_identity(encode_identity(identity)).value(), identity);
  Identity first = identity;
  first.mode = first.uid = first.gid = 0;
  EXPECT_EQ(decode_identity("spillfs1 " + hex(example_store()) + " 42 1234 /a b/ c").value(),
            first);
  EXPECT_EQ(decode_identity("spillfs1 zz").error().code, EIO);
  EXPECT_EQ(decode_identity("").error().code, EIO);
}

}  // namespace
}  // namespace spillfs::storage
