// SPDX-License-Identifier: Apache-2.0
// A store with small and large files in memory, and what happens to the disk under it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "tests/support/test_store.h"

namespace spillfs::tests {

class DamagedStore : public testing::Test {
 protected:
  void open() {
    volume_.reset();
    volume_ = store_.open({.fuse_limit = 32 * kKiB, .reclaim_in_background = false}).value();
  }
  InodeId write(InodeId folder, const std::string& name, const std::string& bytes) {
    const auto made = volume_->create(folder, name, 0640, O_WRONLY, {.uid = 7, .gid = 8}).value();
    EXPECT_TRUE(volume_->write(made.handle, as_bytes(bytes), 0));
    EXPECT_TRUE(volume_->release(made.handle));
    return InodeId{made.attributes.st_ino};
  }
  // The bytes, or "error" and its number.
  static std::string read(fs::Volume& volume, InodeId inode) {
    const auto failed = [](const Error& e) { return "error " + std::to_string(e.code); };
    const auto opened = volume.open_file(inode, O_RDONLY);
    if (!opened) return failed(opened.error());
    std::string text(static_cast<std::size_t>(opened->attributes.st_size), '?');
    const auto got = volume.read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
    EXPECT_TRUE(volume.release(opened->handle));
    return got ? text.substr(0, *got) : failed(got.error());
  }
  std::string read(InodeId inode) { return read(*volume_, inode); }
  index::Inode row(InodeId inode) { return store_.index->inode(inode).value(); }

  // The backing file of a sealed file.
  std::shared_ptr<storage::File> backing(InodeId inode) {
    const Location at = row(inode).location;
    const auto kind =
        at.placement == Placement::kFused ? SegmentKind::kFused : SegmentKind::kPrivate;
    return store_.devices.at(number(at.directory))
        ->open(storage::segment_path(kind, at.segment))
        .value();
  }
  static void flip(storage::File& file, std::uint64_t offset, unsigned bit = 0) {
    std::byte byte{};
    ASSERT_EQ(file.read({&byte, 1}, offset).value(), 1U);
    byte ^= std::byte{1} << static_cast<int>(bit);
    ASSERT_TRUE(file.write({&byte, 1}, offset));
  }
  void flip_in(InodeId inode, std::uint64_t offset) {
    flip(*backing(inode), row(inode).location.data_offset + offset);
  }

  TestStore store_{1};
  std::unique_ptr<fs::Volume> volume_;
};

}  // namespace spillfs::tests
