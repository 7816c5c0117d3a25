// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/checksummer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fs/system/background_priority.h"
#include "index/index.h"
#include "storage/base/checksum.h"
#include "storage/data_map.h"

namespace spillfs::fs {
namespace {

constexpr std::chrono::milliseconds kJobLook{1000};  // for jobs that become due
constexpr std::size_t kMostWaiting = 10'000;         // files of one user
// A piece ends where a row of sums does, once it has read or made so much.
constexpr std::uint64_t kPieceBytes = 64 * kMiB;
constexpr std::size_t kPieceSums = 64 * index::kSumsPerRow;

constexpr std::uint64_t kFreeChunks = 1024;  // of any file: sums of a GiB
constexpr std::uint64_t kChunksPerChunk = 8;

}  // namespace

bool is_worth_sums(std::uint64_t length, std::uint64_t allocated) {
  return chunk_count(length) <= kFreeChunks + kChunksPerChunk * chunk_count(allocated);
}

Checksummer::Checksummer(FilesToSum& files, ChecksummerOptions options)
    : files_(files), options_(options) {}

void Checksummer::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Checksummer::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    thread_.request_stop();
    changed_.notify_all();
  }
  thread_.join();
}

void Checksummer::add(InodeId id, uid_t owner) {
  MutexLock lock(mutex_);
  const Clock::time_point due = Clock::now() + options_.delay;
  if (const auto waits = due_.find(number(id)); waits != due_.end()) {
    waits->second = due;
    return;
  }
  if (jobs_.count_of(owner) >= kMostWaiting) return;
  due_.emplace(number(id), due);
  jobs_.push(owner, {.id = id, .walk = std::nullopt});
  changed_.notify_all();
}

Checksummer::Status Checksummer::status() {
  MutexLock lock(mutex_);
  return {.files = due_.size(), .bytes = bytes_};
}

void Checksummer::run(const std::stop_token& stop) {
  read_when_idle();
  for (;;) {
    std::optional<std::pair<uid_t, Job>> next;
    {
      MutexLock lock(mutex_);
      while (!stop.stop_requested() && !(next = next_job(Clock::now()))) {
        if (jobs_.empty()) {
          changed_.wait(mutex_);
        } else {
          changed_.wait_for(mutex_, kJobLook);
        }
      }
    }
    if (stop.stop_requested()) return;
    work(next->first, std::move(next->second), stop);
  }
}

void Checksummer::run_due() {
  const Clock::time_point now = Clock::now();
  for (;;) {
    std::optional<std::pair<uid_t, Job>> next;
    {
      MutexLock lock(mutex_);
      next = next_job(now);
    }
    if (!next) return;
    work(next->first, std::move(next->second), {});
  }
}

// What has begun, or waits for no longer than `due`.
std::optional<std::pair<uid_t, Checksummer::Job>> Checksummer::next_job(Clock::time_point due) {
  auto next = jobs_.pop_if([&](uid_t, const Job& job) NO_THREAD_SAFETY_ANALYSIS {
    return job.walk || due_.at(number(job.id)) <= due;
  });
  if (next && !next->second.walk) due_.erase(number(next->second.id));
  return next;
}

void Checksummer::work(uid_t owner, Job job, const std::stop_token& stop) {
  MutexLock walking(walking_);
  const auto outcome = advance(job, stop);
  if (!outcome) {
    spdlog::error("checksums of inode {}: {}", number(job.id), describe(outcome.error()));
  } else if (*outcome == Outcome::kLater) {
    add(job.id, owner);
  } else if (*outcome == Outcome::kGoesOn) {
    MutexLock lock(mutex_);
    jobs_.push_front(owner, std::move(job));
  }
}

Result<Checksummer::Outcome> Checksummer::advance(Job& job, const std::stop_token& stop) {
  if (!job.walk) {
    auto begun = files_.begin(job.id);
    if (!begun && begun.error().code == EAGAIN) return Outcome::kLater;
    auto file = SPILLFS_TRY(std::move(begun));
    if (file == nullptr) return Outcome::kDone;
    job.walk.emplace(Walk{.file = std::move(file)});
  }
  auto outcome = sum_piece(*job.walk, stop);
  // Its segment may be gone, or another file's by now.
  return outcome || job.walk->file->unchanged() ? outcome : Outcome::kDone;
}

Result<Checksummer::Outcome> Checksummer::sum_piece(Walk& walk, const std::stop_token& stop) {
  const std::uint64_t length = walk.file->length();
  const std::uint64_t first = walk.next;
  const auto file = SPILLFS_TRY(walk.file->open());
  storage::DataMap data(*file);
  std::vector<std::uint64_t> sums;
  std::uint64_t read = 0;
  for (; walk.next < chunk_count(length); ++walk.next) {
    const bool enough = read >= kPieceBytes || sums.size() >= kPieceSums;
    if (enough && walk.next % index::kSumsPerRow == 0) break;
    if (!walk.file->unchanged()) return Outcome::kDone;
    const std::uint64_t offset = walk.next * kChunk;
    const std::uint64_t part = std::min(kChunk, length - offset);
    const bool hole = data.is_hole(offset, part);
    sums.push_back(hole ? storage::sum_of_zeros(part)
                        : SPILLFS_TRY(sum_chunk(*file, offset, part)));
    read += hole ? 0 : part;
    if (!keep_to_rate(hole ? 0 : part, stop)) return Outcome::kDone;
  }
  SPILLFS_TRY(walk.file->keep(first, std::move(sums)));
  if (walk.next < chunk_count(length)) return Outcome::kGoesOn;
  SPILLFS_TRY(walk.file->finish());
  return Outcome::kDone;
}

Result<std::uint64_t> Checksummer::sum_chunk(storage::File& file, std::uint64_t offset,
                                             std::uint64_t length) {
  chunk_.resize(length);
  const std::size_t got = SPILLFS_TRY(file.read(chunk_, offset));
  if (got == length) return xxh3(chunk_);
  return fail(EIO, fmt::format("its segment ends at {}", offset + got));
}

// False when it is time to stop.
bool Checksummer::keep_to_rate(std::uint64_t bytes, const std::stop_token& stop) {
  if (bytes == 0) return !stop.stop_requested();
  const Clock::time_point due = pace_.after(bytes, options_.rate, Clock::now());
  MutexLock lock(mutex_);
  bytes_ += bytes;
  while (!stop.stop_requested()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now());
    if (left.count() <= 0) return true;
    changed_.wait_for(mutex_, std::min(left, kJobLook));
  }
  return false;
}

}  // namespace spillfs::fs
