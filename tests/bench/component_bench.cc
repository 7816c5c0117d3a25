// SPDX-License-Identifier: Apache-2.0
// What the parts cost by themselves, without FUSE.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fs/volume/volume.h"
#include "index/rocksdb_index.h"
#include "storage/chunk_summer.h"
#include "storage/file_device.h"
#include "storage/ray_scanner.h"
#include "storage/segments.h"
#include "storage/staging.h"

namespace spillfs {
namespace {

using storage::SegmentStore;

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / "spillfs-bench-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void must(const Result<>& done) {
  if (done) return;
  std::fprintf(stderr, "component_bench: %s\n", describe(done.error()).c_str());
  std::abort();
}

std::unique_ptr<SegmentStore> open_segments(const std::string& path) {
  std::vector<std::unique_ptr<storage::Device>> devices;
  devices.push_back(storage::FileDevice::open_directory(path).value());
  return SegmentStore::open(std::move(devices), {}, {}).value();
}

std::size_t length_of(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

void count_bytes(benchmark::State& state, std::size_t length) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(length));
}

void fused_append(benchmark::State& state) {
  const Folder folder;
  const auto segments = open_segments(folder.path());
  const std::vector<std::byte> data(length_of(state), std::byte{7});
  const std::vector<Bytes> payload{data};
  std::uint64_t id = 1;
  auto fused = segments->create_fused(SegmentId{id}, DirectoryId{0}).value();
  for (auto _ : state) {
    storage::RecordInfo info{.inode = InodeId{2}, .mode = S_IFREG | 0644, .path = "/a/file"};
    storage::measure(info, payload);
    if (fused->append(info, payload).value()) continue;
    state.PauseTiming();
    must(segments->remove(SegmentKind::kFused, SegmentId{id}, DirectoryId{0}));
    fused = segments->create_fused(SegmentId{++id}, DirectoryId{0}).value();
    state.ResumeTiming();
  }
  count_bytes(state, data.size());
}
BENCHMARK(fused_append)->Arg(4 << 10)->Arg(100 << 10)->Arg(1 << 20);

void staged_write(benchmark::State& state) {
  const auto staging = storage::Staging::create().value();
  const std::vector<std::byte> data(length_of(state), std::byte{7});
  for (auto _ : state) {
    storage::StagedFile file(*staging, {InodeId{1}, 0});
    must(file.write(data, 0));
  }
  count_bytes(state, data.size());
}
BENCHMARK(staged_write)->Arg(4 << 10)->Arg(100 << 10)->Arg(1 << 20);

void chunk_summer(benchmark::State& state) {
  const std::vector<std::byte> data(length_of(state), std::byte{7});
  storage::ChunkSummer summer;
  for (auto _ : state) summer.update(data);
  count_bytes(state, data.size());
}
BENCHMARK(chunk_summer)->Arg(1 << 20);

// A Ray file's bytes as they come: requests of 1 MiB over objects of `range` bytes.
void ray_scanner(benchmark::State& state) {
  const storage::RayHeader header{.data_length = length_of(state)};
  std::vector<std::byte> file;
  while (file.size() < 8 * kMiB) {
    const Bytes bytes = bytes_of(header);
    file.insert(file.end(), bytes.begin(), bytes.end());
    file.resize(file.size() + length_of(state));
  }
  for (auto _ : state) {
    storage::RayScanner scanner;
    for (std::size_t at = 0; at < file.size(); at += kMiB) {
      scanner.update(Bytes(file).subspan(at, std::min<std::size_t>(kMiB, file.size() - at)));
    }
    benchmark::DoNotOptimize(scanner.objects());
  }
  count_bytes(state, file.size());
}
BENCHMARK(ray_scanner)->Arg(1 << 10)->Arg(1 << 20);

index::Inode file_inode(std::uint64_t id) {
  return {.id = InodeId{id},
          .mode = S_IFREG | 0644,
          .links = 1,
          .parent = InodeId{1},
          .text = std::to_string(id)};
}

index::Batch create_batch(std::uint64_t id) {
  index::Batch batch;
  batch.put_inodes = {file_inode(id), {.id = InodeId{1}, .mode = S_IFDIR | 0755, .entries = id}};
  batch.dentries = {
      {InodeId{1}, std::to_string(id), std::pair(InodeId{id}, std::uint32_t{S_IFREG})}};
  batch.put_queue = {{index::QueueKind::kUnsealed, id}};
  batch.totals.inodes = 1;
  return batch;
}

void index_create(benchmark::State& state) {
  const Folder folder;
  const auto rocksdb = index::RocksdbIndex::open(folder.path(), {}).value();
  std::uint64_t id = 1;
  for (auto _ : state) must(rocksdb->commit(create_batch(++id)));
}
BENCHMARK(index_create);

// As index_create, each with its reply, which the next one erases.
void index_create_replying(benchmark::State& state) {
  const Folder folder;
  const auto rocksdb = index::RocksdbIndex::open(folder.path(), {}).value();
  std::uint64_t id = 1;
  for (auto _ : state) {
    index::Batch batch = create_batch(++id);
    batch.put_reply = {.request = RequestId{id}, .inode = InodeId{id}};
    batch.erase_replies = {RequestId{id - 1}};
    must(rocksdb->commit(batch));
  }
}
BENCHMARK(index_create_replying);

void index_seal(benchmark::State& state) {
  const Folder folder;
  const auto rocksdb = index::RocksdbIndex::open(folder.path(), {}).value();
  constexpr std::int64_t kLength = 4096;
  std::uint64_t id = 1;
  for (auto _ : state) {
    index::Batch batch;
    batch.put_inodes = {file_inode(++id)};
    batch.segments = {{SegmentId{1}, kLength, kLength}};
    batch.put_records = {{SegmentId{1}, id * kLength, InodeId{id}}};
    batch.erase_queue = {{index::QueueKind::kUnsealed, id}};
    batch.totals.charged = kLength;
    must(rocksdb->commit(batch));
  }
}
BENCHMARK(index_seal);

void volume_create_write_close(benchmark::State& state) {
  const Folder folder;
  const auto volume =
      fs::Volume::open({.index = index::RocksdbIndex::open(folder.path() + "/index", {}).value(),
                        .segments = open_segments(folder.path()),
                        .staging = storage::Staging::create().value()},
                       {})
          .value();
  const std::vector<std::byte> data(length_of(state), std::byte{7});
  std::uint64_t number = 0;
  for (auto _ : state) {
    const std::string name = std::to_string(++number);
    const auto opened =
        volume->create(InodeId{1}, name, 0644, O_WRONLY | O_CREAT | O_EXCL, {}).value();
    for (std::size_t at = 0; at < data.size(); at += kMiB) {
      must(volume->write(opened.handle,
                         Bytes(data).subspan(at, std::min<std::size_t>(data.size() - at, kMiB)),
                         at));
    }
    must(volume->flush(opened.handle));
    must(volume->release(opened.handle));
    state.PauseTiming();
    must(volume->unlink(InodeId{1}, name));
    state.ResumeTiming();
  }
  count_bytes(state, data.size());
}
BENCHMARK(volume_create_write_close)->Arg(4 << 10)->Arg(100 << 10)->Arg(1 << 20)->Arg(64 << 20);

}  // namespace
}  // namespace spillfs

BENCHMARK_MAIN();
