// SPDX-License-Identifier: Apache-2.0
// The C++ half of tests/s3/boto_test.py, which runs one of these at a time.
#include "tests/s3/s3_fixture.h"

namespace spillfs::tests {
namespace {

// As pattern() in boto_test.py.
std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
  return bytes;
}

const std::pair<const char*, std::size_t> kObjects[] = {
    {"empty", 0}, {"small + größe/雪", 1000}, {"one part", 5 * kMiB}, {"parts", 12 * kMiB + 7}};

class S3Interop : public S3Test {
 protected:
  void SetUp() override {
    S3Test::SetUp();
    if (IsSkipped()) return;
    if (variable("INTEROP").empty()) GTEST_SKIP() << "part of tests/s3/boto_test.py";
    prefix_ = "interop";
    store_ = open(parameters_);
  }
};

TEST_F(S3Interop, WritesForOthers) {
  for (const auto& [key, size] : kObjects) ASSERT_TRUE(write(*store_, key, pattern(size))) << key;
}

TEST_F(S3Interop, ReadsOthers) {
  for (const auto& [key, size] : kObjects) {
    EXPECT_EQ(read(*store_, key, size + 1).value(), pattern(size)) << key;
  }
}

}  // namespace
}  // namespace spillfs::tests
