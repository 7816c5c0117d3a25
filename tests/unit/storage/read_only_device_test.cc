// SPDX-License-Identifier: Apache-2.0
#include "storage/read_only_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "storage/file_device.h"
#include "storage/memory_device.h"
#include "tests/support/temporary_folder.h"

namespace spillfs::storage {
namespace {

constexpr const char* kPath = "segments/1.fused";

class ReadOnlyDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto inner = std::make_unique<MemoryDevice>();
    inner_ = inner.get();
    const auto file = inner->create(kPath).value();
    ASSERT_TRUE(file->write(as_bytes(text_), 0));
    ASSERT_TRUE(file->set_attribute("name", "value"));
    device_ = std::make_unique<ReadOnlyDevice>(std::move(inner));
  }

  static int code(const Result<>& done) { return done ? 0 : done.error().code; }

  const std::string text_ = "what is there";
  MemoryDevice* inner_ = nullptr;
  std::unique_ptr<Device> device_;
};

TEST_F(ReadOnlyDeviceTest, ReadsWhatIsThere) {
  const auto file = device_->open(kPath).value();
  std::vector<std::byte> read(text_.size());
  EXPECT_EQ(file->read(read, 0).value(), text_.size());
  EXPECT_EQ(as_text(read), text_);
  EXPECT_EQ(file->status()->size, text_.size());
  EXPECT_EQ(file->attribute("name").value(), "value");
  EXPECT_EQ(file->seek(SeekKind::kData, 0).value(), 0U);
  EXPECT_EQ(device_->list("segments").value(), std::vector<std::string>{"1.fused"});
  EXPECT_TRUE(device_->space());
  EXPECT_EQ(device_->open("segments/2.fused").error().code, ENOENT);
}

TEST_F(ReadOnlyDeviceTest, RefusesWhatWouldChangeSomething) {
  EXPECT_EQ(device_->create("segments/2.fused").error().code, EROFS);
  EXPECT_EQ(code(device_->remove(kPath)), EROFS);
  EXPECT_EQ(code(device_->rename(kPath, "recycle/1")), EROFS);
  const auto file = device_->open(kPath).value();
  const Bytes bytes = as_bytes("other");
  EXPECT_EQ(code(file->write(bytes, 0)), EROFS);
  EXPECT_EQ(code(file->write_parts({&bytes, 1}, 0)), EROFS);
  EXPECT_EQ(code(file->write_direct({&bytes, 1}, 0)), EROFS);
  EXPECT_EQ(code(file->resize(0)), EROFS);
  EXPECT_EQ(code(file->allocate(AllocateMode::kExtend, 0, 4096)), EROFS);
  EXPECT_EQ(code(file->set_attribute("name", "other")), EROFS);
  EXPECT_EQ(inner_->list("segments").value(), std::vector<std::string>{"1.fused"});
  EXPECT_EQ(file->status()->size, text_.size());
}

TEST_F(ReadOnlyDeviceTest, HasNothingToSync) {
  EXPECT_TRUE(device_->sync_all());
  EXPECT_TRUE(device_->sync_folder("segments"));
  const auto file = device_->open(kPath).value();
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(file->write_back(0, 1));
}

TEST(ReadOnlyDirectory, IsOpenedWithoutTheRightToWrite) {
  const tests::TemporaryFolder folder;
  const auto opened = [&] {
    return TrustedDirectory::open(folder.path(), Trust::of_process()).value();
  };
  EXPECT_EQ(FileDevice::open_read_only(opened()).error().code, ENOENT);
  EXPECT_TRUE(folder.files().empty());
  const auto writable = FileDevice::open_directory(opened()).value();
  const std::vector<std::byte> bytes(kDirectAlignment, std::byte{7});
  ASSERT_TRUE(writable->create(kPath).value()->write(bytes, 0));

  const auto device = FileDevice::open_read_only(opened()).value();
  const auto file = device->open(kPath).value();
  EXPECT_EQ(file->write(bytes, 0).error().code, EBADF);
  std::vector<std::byte> read(bytes.size());
  EXPECT_EQ(file->read(read, 0).value(), bytes.size());
  EXPECT_EQ(read, bytes);
  alignas(kDirectAlignment) std::array<std::byte, kDirectAlignment> aligned{};
  EXPECT_EQ(file->read_direct(aligned, 0).value(), aligned.size());
  EXPECT_TRUE(std::equal(aligned.begin(), aligned.end(), bytes.begin()));
}

}  // namespace
}  // namespace spillfs::storage
