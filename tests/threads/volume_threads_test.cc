// SPDX-License-Identifier: Apache-2.0
// Several threads at once on one Volume, with reclaim behind them: staging has room for a few files
// only, segments are small. SPILLFS_THREADS_OPS sets how many operations each thread does,
// SPILLFS_THREADS_SEED which.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <set>
#include <thread>

#include "index/rocksdb_index.h"
#include "storage/file_device.h"
#include "tests/support/test_store.h"
#include "tests/threads/worker.h"

namespace spillfs::tests {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

std::unique_ptr<fs::Volume> open_volume(const TestStore& store, fs::VolumeOptions options) {
  options.fuse_limit = 32 * kKiB;
  return fs::Volume::open({.index = std::make_unique<SharedIndex>(store.index),
                           .segments = store.segments(),
                           .staging = storage::Staging::create(512 * kKiB).value()},
                          std::move(options))
      .value();
}

// Large files go past the page cache, by two threads.
fs::VolumeOptions direct() {
  return {.write_directly = [](pid_t) { return true; }, .write_threads = 2};
}

InodeId make_source(fs::Volume& volume, std::size_t blocks) {
  const auto made =
      volume.create(kRootInode, fmt::format("source{}", blocks), 0444, O_WRONLY, {}).value();
  const InodeId inode{made.attributes.st_ino};
  for (std::size_t i = 0; i < blocks; ++i) {
    EXPECT_TRUE(volume.write(made.handle, as_bytes(make_block(inode, i, 1)), i * kBlock));
  }
  EXPECT_TRUE(volume.release(made.handle));
  return inode;
}

InodeId make_folder(fs::Volume& volume, const char* name) {
  return InodeId{volume.mkdir(kRootInode, name, 0755, {}).value().st_ino};
}

// Every inode that has a name.
void collect(fs::Volume& volume, InodeId folder, std::set<InodeId>& found) {
  found.insert(folder);
  const auto entries = volume.list(folder, 2, 1000).value();
  for (const auto& entry : entries) {
    const InodeId inode{entry.attributes.st_ino};
    if (S_ISDIR(entry.attributes.st_mode)) {
      collect(volume, inode, found);
    } else {
      found.insert(inode);
    }
  }
}

void expect_bytes(fs::Volume& volume, const Own& own) {
  const auto found = volume.lookup(own.folder, own.name);
  ASSERT_TRUE(found) << own.name << describe(found.error());
  const auto opened = volume.open_file(InodeId{found->st_ino}, O_RDONLY).value();
  std::string text(own.bytes.size() + 1, '?');
  const auto got = volume.read(opened.handle, std::as_writable_bytes(std::span(text)), 0);
  ASSERT_TRUE(got) << own.name << describe(got.error());
  text.resize(*got);
  EXPECT_TRUE(text == own.bytes) << own.name;
  EXPECT_TRUE(volume.release(opened.handle));
}

// The threads are done and all is closed: nothing is left but what has a name, and it is all there
// for the next process too.
void check_rest(const TestStore& store, std::unique_ptr<fs::Volume> volume,
                const fs::VolumeOptions& options, const std::deque<Worker>& workers) {
  ASSERT_TRUE(volume->reclaim_now());
  std::set<InodeId> named;
  collect(*volume, kRootInode, named);
  const auto before = volume->status();
  EXPECT_EQ(before.inodes, static_cast<std::int64_t>(named.size()));
  EXPECT_EQ(before.handles, 0U);
  EXPECT_EQ(before.staging_free, 512 * kKiB);
  volume.reset();
  EXPECT_EQ(store.problems(), "");
  volume = open_volume(store, options);
  EXPECT_EQ(volume->status().inodes, before.inodes);
  EXPECT_EQ(volume->status().charged, before.charged);
  for (const Worker& worker : workers) {
    if (worker.own().inode != InodeId{}) expect_bytes(*volume, worker.own());
  }
}

void run_threads(const TestStore& store, std::uint64_t operations,
                 const fs::VolumeOptions& options = {}) {
  const std::uint64_t seed = from_environment("SPILLFS_THREADS_SEED", std::random_device{}());
  SCOPED_TRACE(fmt::format("SPILLFS_THREADS_SEED={}", seed));
  auto volume = open_volume(store, options);
  const Shared shared{
      .volume = *volume,
      .folders = {kRootInode, make_folder(*volume, "a"), make_folder(*volume, "b")},
      .sources = {make_source(*volume, 3), make_source(*volume, 20), make_source(*volume, 150)}};
  std::deque<Worker> workers;
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    Worker& worker = workers.emplace_back(shared, i, seed);
    threads.emplace_back([&worker, operations] { worker.run(operations); });
  }
  threads.clear();
  if (!testing::Test::HasFailure()) check_rest(store, std::move(volume), options, workers);
}

TEST(VolumeThreads, DoNotDisturbEachOther) {
  run_threads(TestStore(), from_environment("SPILLFS_THREADS_OPS", 4000));
}

TEST(VolumeThreads, DoNotDisturbEachOtherPastThePageCache) {
  run_threads(TestStore(), from_environment("SPILLFS_THREADS_OPS", 4000) / 2, direct());
}

void run_on_disk(const fs::VolumeOptions& options) {
#ifdef SPILLFS_THREAD_SANITIZER
  GTEST_SKIP() << "the distribution's RocksDB is built without TSan, which misreads it";
#endif
  std::string folder = testing::TempDir() + "spillfs-threads-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  {
    TestStore store;
    std::filesystem::create_directory(folder + "/data");
    store.devices = {storage::FileDevice::open_directory(folder + "/data").value()};
    store.index = index::RocksdbIndex::open(folder + "/index", {}).value();
    run_threads(store, from_environment("SPILLFS_THREADS_OPS", 4000) / 4, options);
  }
  std::filesystem::remove_all(folder);
}

TEST(VolumeThreads, DoNotDisturbEachOtherOnDisk) { run_on_disk({}); }

TEST(VolumeThreads, DoNotDisturbEachOtherPastThePageCacheOnDisk) { run_on_disk(direct()); }

}  // namespace
}  // namespace spillfs::tests
