// SPDX-License-Identifier: Apache-2.0
// What every Device does, on each of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "storage/faulty_device.h"
#include "storage/file_device.h"
#include "storage/memory_device.h"

namespace spillfs::storage {
namespace {

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Device>(const std::string& folder)> make;
};

std::unique_ptr<Device> file_device(const std::string& folder) {
  return FileDevice::open_directory(folder).value();
}

class DeviceTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "spillfs-device-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    device_ = GetParam().make(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::shared_ptr<File> create(const std::string& path) { return device_->create(path).value(); }
  static std::string read(File& file, std::uint64_t offset, std::size_t count) {
    std::string text(count, '?');
    const auto got = file.read(std::as_writable_bytes(std::span(text)), offset);
    return got ? text.substr(0, *got) : "error " + std::to_string(got.error().code);
  }
  static void write(File& file, const std::string& text, std::uint64_t offset) {
    ASSERT_TRUE(file.write(as_bytes(text), offset));
  }

  std::string folder_;
  std::unique_ptr<Device> device_;
};

TEST_P(DeviceTest, ReadsWhatWasWritten) {
  auto file = create("segments/1.fused");
  write(*file, "hello", 0);
  write(*file, "HE", 0);
  EXPECT_EQ(read(*file, 0, 100), "HEllo");
  EXPECT_EQ(read(*file, 4, 1), "o");
  EXPECT_EQ(read(*file, 5, 1), "");
  EXPECT_EQ(file->status()->size, 5U);
}

// Memory that begins at a page border, as O_DIRECT wants it.
class Pages {
 public:
  explicit Pages(std::size_t count)
      : size_(count * kDirectAlignment),
        memory_(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, size_))) {}
  MutableBytes page(std::size_t i) {
    return MutableBytes(memory_.get(), size_).subspan(i * kDirectAlignment, kDirectAlignment);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  const std::size_t size_;
  const std::unique_ptr<std::byte, Free> memory_;
};

TEST_P(DeviceTest, WritesPagesDirectly) {
  constexpr std::size_t kParts = 2 * IOV_MAX + 3;  // more than one call takes
  Pages pages(kParts);
  std::vector<Bytes> parts;
  std::string expected(kDirectAlignment, 'a');
  for (std::size_t i = 0; i < kParts; ++i) {
    const MutableBytes page = pages.page(i);
    std::fill(page.begin(), page.end(), static_cast<std::byte>('A' + i % 50));
    parts.emplace_back(page);
    expected += as_text(page);
  }
  auto file = create("segments/1.private");
  write(*file, std::string(3 * kDirectAlignment, 'a'), 0);  // cached: the pages must not stay
  EXPECT_EQ(read(*file, kDirectAlignment, 1), "a");
  ASSERT_TRUE(file->write_direct(parts, kDirectAlignment));
  EXPECT_TRUE(read(*file, 0, expected.size() + 1) == expected);
  EXPECT_EQ(file->status()->size, expected.size());
  ASSERT_TRUE(file->write_direct({}, 0));
  write(*file, "end", expected.size() - 1);
  EXPECT_EQ(read(*file, expected.size() - 2, 10),
            std::string(1, static_cast<char>('A' + (kParts - 1) % 50)) + "end");
}

TEST_P(DeviceTest, ReadsDirectlyWhatWasJustWritten) {
  auto file = create("segments/1.fused");
  write(*file, std::string(kDirectAlignment, 'a') + "tail", 0);
  Pages pages(3);
  const MutableBytes all(pages.page(0).data(), 3 * kDirectAlignment);
  EXPECT_EQ(file->read_direct(all, 0).value(), kDirectAlignment + 4);
  EXPECT_EQ(as_text(Bytes(all).first(kDirectAlignment + 4)),
            std::string(kDirectAlignment, 'a') + "tail");
  EXPECT_EQ(file->read_direct(pages.page(1), kDirectAlignment).value(), 4U);
  EXPECT_EQ(file->read_direct(pages.page(1), 2 * kDirectAlignment).value(), 0U);
}

TEST_P(DeviceTest, ADirectWriteLeavesWhatIsBeside) {
  Pages pages(2);
  for (std::size_t i : {0, 1}) {
    std::fill(pages.page(i).begin(), pages.page(i).end(), static_cast<std::byte>('x' + i));
  }
  auto file = create("segments/1.private");
  ASSERT_TRUE(file->allocate(AllocateMode::kExtend, 0, 5 * kDirectAlignment));
  write(*file, "before", kDirectAlignment - 6);
  write(*file, "behind", 3 * kDirectAlignment);
  const std::vector<Bytes> parts{pages.page(0), pages.page(1)};
  ASSERT_TRUE(file->write_direct(parts, kDirectAlignment));
  EXPECT_EQ(read(*file, kDirectAlignment - 6, 2 * kDirectAlignment + 12),
            "before" + std::string(kDirectAlignment, 'x') + std::string(kDirectAlignment, 'y') +
                "behind");
  EXPECT_EQ(file->status()->size, 5 * kDirectAlignment);
}

TEST_P(DeviceTest, AHoleReadsAsZerosAndTakesNoBlocks) {
  auto file = create("segments/1.private");
  write(*file, "end", kMiB);
  EXPECT_EQ(read(*file, 0, 3), std::string(3, '\0'));
  EXPECT_LT(file->status()->allocated, 256 * kKiB);
  EXPECT_EQ(file->seek(SeekKind::kHole, 0).value(), 0U);
  EXPECT_EQ(file->seek(SeekKind::kData, 0).value(), kMiB);
  EXPECT_EQ(file->seek(SeekKind::kHole, kMiB).value(), kMiB + 3);
  EXPECT_EQ(file->seek(SeekKind::kData, kMiB + 3).error().code, ENXIO);
}

TEST_P(DeviceTest, CutsAndGrows) {
  auto file = create("segments/1.private");
  write(*file, std::string(10000, 'x'), 0);
  ASSERT_TRUE(file->resize(5000));
  ASSERT_TRUE(file->resize(9000));
  EXPECT_EQ(read(*file, 4999, 3), std::string("x\0\0", 3));
  EXPECT_EQ(read(*file, 8999, 10), std::string(1, '\0'));
}

TEST_P(DeviceTest, AllocatesAheadWithoutChangingBytesOrSize) {
  auto file = create("segments/1.private");
  write(*file, "abc", 0);
  ASSERT_TRUE(file->allocate(AllocateMode::kKeepSize, 0, kMiB));
  EXPECT_EQ(file->status()->size, 3U);
  EXPECT_GE(file->status()->allocated, kMiB);
  ASSERT_TRUE(file->resize(3));
  EXPECT_LE(file->status()->allocated, 4096U);
  ASSERT_TRUE(file->allocate(AllocateMode::kExtend, 0, 8192));
  EXPECT_EQ(read(*file, 0, 8193), "abc" + std::string(8189, '\0'));
}

TEST_P(DeviceTest, PunchesAndZeroes) {
  auto file = create("segments/1.private");
  write(*file, std::string(3 * 4096, 'x'), 0);
  const std::uint64_t before = file->status()->allocated;
  ASSERT_TRUE(file->allocate(AllocateMode::kPunchHole, 4096, 4096));
  EXPECT_EQ(read(*file, 4095, 3), std::string("x\0\0", 3));
  EXPECT_LT(file->status()->allocated, before);
  ASSERT_TRUE(file->allocate(AllocateMode::kZeroKeepSize, 2 * 4096 + 1, 2 * 4096));
  EXPECT_EQ(file->status()->size, 3U * 4096);
  EXPECT_EQ(read(*file, 2 * 4096, 3), std::string("x\0\0", 3));
  ASSERT_TRUE(file->allocate(AllocateMode::kZero, 3 * 4096, 10));
  EXPECT_EQ(file->status()->size, 3U * 4096 + 10);
}

TEST_P(DeviceTest, KeepsAttributes) {
  auto file = create("segments/1.private");
  EXPECT_EQ(file->attribute("identity").error().code, ENODATA);
  ASSERT_TRUE(file->set_attribute("identity", "one"));
  ASSERT_TRUE(file->set_attribute("identity", "two"));
  EXPECT_EQ(device_->open("segments/1.private").value()->attribute("identity").value(), "two");
}

TEST_P(DeviceTest, AnOpenFileOutlivesItsName) {
  auto file = create("segments/1.fused");
  write(*file, "still here", 0);
  ASSERT_TRUE(device_->remove("segments/1.fused"));
  EXPECT_EQ(device_->open("segments/1.fused").error().code, ENOENT);
  EXPECT_EQ(device_->remove("segments/1.fused").error().code, ENOENT);
  EXPECT_EQ(read(*file, 0, 10), "still here");
}

TEST_P(DeviceTest, NamesFilesOnce) {
  create("segments/1.fused");
  EXPECT_EQ(device_->create("segments/1.fused").error().code, EEXIST);
  create("segments/2.private");
  ASSERT_TRUE(device_->rename("segments/2.private", "recycle/2.private"));
  EXPECT_EQ(device_->rename("segments/2.private", "recycle/3").error().code, ENOENT);
  EXPECT_THAT(device_->list("segments").value(), testing::ElementsAre("1.fused"));
  EXPECT_THAT(device_->list("recycle").value(), testing::ElementsAre("2.private"));
  EXPECT_TRUE(device_->sync_folder("segments"));
  EXPECT_TRUE(device_->sync_all());
}

TEST_P(DeviceTest, KnowsWhetherAFileMayBeWritten) {
  auto file = create("segments/a");
  EXPECT_TRUE(device_->may_be_written("segments/a").value());
  file.reset();
  EXPECT_FALSE(device_->may_be_written("segments/a").value());
  EXPECT_EQ(device_->may_be_written("segments/b").error().code, ENOENT);
}

TEST_P(DeviceTest, AsksWhetherAFileMayBeWrittenWhileItIsOpened) {
  create("segments/a");
  std::atomic<bool> done = false;
  std::thread opener([&] {
    for (int i = 0; i != 2000; ++i) EXPECT_TRUE(device_->open("segments/a"));
    done = true;
  });
  while (!done) EXPECT_TRUE(device_->may_be_written("segments/a"));
  opener.join();
}

TEST_P(DeviceTest, SpaceIsWithinTheTotal) {
  const auto space = device_->space();
  ASSERT_TRUE(space);
  EXPECT_GT(space->total, 0U);
  EXPECT_LE(space->free, space->total);
}

INSTANTIATE_TEST_SUITE_P(
    Devices, DeviceTest,
    testing::Values(Kind{"file", file_device},
                    Kind{"memory", [](const auto&) { return std::make_unique<MemoryDevice>(); }},
                    Kind{"faulty",
                         [](const auto&) {
                           return std::make_unique<FaultyDevice>(std::make_shared<MemoryDevice>(),
                                                                 std::make_shared<FaultPlan>());
                         }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace spillfs::storage
