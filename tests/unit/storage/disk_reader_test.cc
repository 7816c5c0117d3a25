// SPDX-License-Identifier: Apache-2.0
#include "storage/disk_reader.h"

#include <gtest/gtest.h>

#include "storage/memory_device.h"

namespace spillfs::storage {
namespace {

class DiskReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < 3 * kMiB + 100; ++i) text_ += static_cast<char>('a' + i % 23);
    file_ = device_.create("segments/1.fused").value();
    ASSERT_TRUE(file_->write(as_bytes(text_), 0));
  }

  MemoryDevice device_;
  std::shared_ptr<File> file_;
  std::string text_;
};

TEST_F(DiskReaderTest, ReadsAnyRangeInAnyOrder) {
  DiskReader disk(file_);
  for (auto [offset, length] : {std::pair<std::size_t, std::size_t>{0, 10},
                                {4090, 20},
                                {kMiB - 5, 10},
                                {3, kMiB},
                                {kMiB + 1, 2 * kMiB},
                                {7, 1},
                                {3 * kMiB + 90, 10}}) {
    EXPECT_EQ(as_text(disk.read(offset, length).value()), text_.substr(offset, length));
  }
}

TEST_F(DiskReaderTest, EndsWithTheFile) {
  DiskReader disk(file_);
  EXPECT_EQ(as_text(disk.read(3 * kMiB + 90, 100).value()), text_.substr(3 * kMiB + 90));
  EXPECT_TRUE(disk.read(4 * kMiB, 10)->empty());
  EXPECT_EQ(disk.read(0, 3)->size(), 3U);
}

TEST_F(DiskReaderTest, SaysWhyThereIsNoFile) {
  DiskReader disk(device_.open("segments/2.fused"));
  EXPECT_EQ(disk.read(0, 1).error().code, ENOENT);
}

}  // namespace
}  // namespace spillfs::storage
