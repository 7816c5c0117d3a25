// SPDX-License-Identifier: Apache-2.0
// A Volume whose files the kernel reads and writes by itself. The test does its part: it writes to
// the backing file and says nothing.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "tests/support/fake_kernel.h"

namespace spillfs::tests {

inline std::string changed(std::string text, std::size_t offset, std::string_view to) {
  std::copy(to.begin(), to.end(), text.begin() + static_cast<std::ptrdiff_t>(offset));
  return text;
}

class VolumePassthrough : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(fs::VolumeOptions options = {}) {
    options.fuse_limit = 32 * kKiB;
    options.reclaim_in_background = false;
    volume_.reset();
    volume_ = store_.open(std::move(options)).value();
    volume_->set_kernel(kernel_.side());
  }
  fs::Opened create(const std::string& name, int flags) {
    return volume_->create(kRootInode, name, 0644, flags | O_CREAT | O_EXCL, {}).value();
  }
  fs::Opened reopen(InodeId inode, int flags) { return volume_->open_file(inode, flags).value(); }
  static InodeId id(const fs::Opened& opened) { return InodeId{opened.attributes.st_ino}; }
  void write(const fs::Opened& to, const std::string& text, std::uint64_t offset) {
    ASSERT_TRUE(volume_->write(to.handle, as_bytes(text), offset));
  }
  void close(const fs::Opened& opened) {
    EXPECT_TRUE(volume_->flush(opened.handle));
    EXPECT_TRUE(volume_->release(opened.handle));
  }
  InodeId make(const std::string& name, const std::string& text) {
    const auto made = create(name, O_WRONLY);
    write(made, text, 0);
    close(made);
    return id(made);
  }
  // What the daemon reads.
  std::string read(InodeId inode) {
    const auto opened = volume_->open_file(inode, O_RDONLY);
    if (!opened) return describe(opened.error());
    std::string text(static_cast<std::size_t>(opened->attributes.st_size) + 1, '?');
    const auto got = volume_->read(opened->handle, std::as_writable_bytes(std::span(text)), 0);
    EXPECT_TRUE(volume_->release(opened->handle));
    return got ? text.substr(0, *got) : describe(got.error());
  }
  std::shared_ptr<storage::File> backing(InodeId inode) { return backing_file(store_, inode); }
  // What the kernel does for a passthrough write, and for a mapping's pages.
  void kernel_writes(InodeId inode, const std::string& text, std::uint64_t offset) {
    ASSERT_TRUE(backing(inode)->write(as_bytes(text), offset));
  }
  std::string kernel_reads(InodeId inode) {
    const auto file = backing(inode);
    std::string text(file->status()->size, '?');
    EXPECT_TRUE(file->read(std::as_writable_bytes(std::span(text)), 0));
    return text;
  }
  struct stat stat(InodeId inode) {
    return volume_->get_attributes(inode).value();
  }
  bool is_summed(InodeId inode) { return store_.index->inode(inode)->sums_valid; }
  std::size_t files_in(const std::string& folder) {
    std::size_t count = 0;
    for (auto& device : store_.devices) count += device->list(folder)->size();
    return count;
  }

  const std::string large_ = std::string(100 * kKiB, 'L');
  TestStore store_;
  FakeKernel kernel_;
  std::unique_ptr<fs::Volume> volume_;
};

}  // namespace spillfs::tests
