// SPDX-License-Identifier: Apache-2.0
#include "fs/volume/durability/prover.h"

#include <utility>

#include "storage/base/threads.h"

namespace spillfs::fs {
namespace {

constexpr unsigned kProverThreads = 2;  // one goes on where a disk is stuck
constexpr std::uint64_t kPiece = 16 * kMiB;

}  // namespace

void Prover::start() {
  started_ = true;
  start_threads(threads_, kProverThreads, 1, [this](const std::stop_token& stop) { run(stop); });
}

void Prover::stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    for (std::jthread& thread : threads_) thread.request_stop();
    changed_.notify_all();
  }
  threads_.clear();
  std::unordered_map<std::uint64_t, Job> left;
  {
    MutexLock lock(mutex_);
    left.swap(jobs_);
  }
  for (const auto& [id, job] : left) {
    for (const Done& done : job.waiting) done(fail(ECANCELED, "the mount ends"));
  }
}

void Prover::ask(InodeId id, uid_t user, Done done) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      const auto [job, is_new] = jobs_.try_emplace(number(id));
      job->second.waiting.push_back(std::move(done));
      if (!is_new) return;
      queue_.push(user, id);
      changed_.notify_one();
      return;
    }
  }
  done(fail(ECANCELED, "the mount ends"));
}

void Prover::run(const std::stop_token& stop) {
  for (;;) {
    std::optional<std::pair<uid_t, InodeId>> next;
    {
      MutexLock lock(mutex_);
      while (!stop.stop_requested() && !(next = queue_.pop())) changed_.wait(mutex_);
    }
    if (stop.stop_requested()) return;
    work(next->first, next->second);
  }
}

void Prover::work(uid_t user, InodeId id) {
  std::unique_ptr<ByteProof> proof;
  {
    MutexLock lock(mutex_);
    proof = std::move(jobs_.at(number(id)).proof);
  }
  const auto done = advance(id, proof);
  std::vector<Done> waiting;
  {
    MutexLock lock(mutex_);
    Job& job = jobs_.at(number(id));
    if (!done) {
      job.proof = std::move(proof);
      queue_.push(user, id);
      changed_.notify_one();
      return;
    }
    waiting = std::move(job.waiting);
    jobs_.erase(number(id));
  }
  for (const Done& tell : waiting) tell(*done);
}

std::optional<Result<>> Prover::advance(InodeId id, std::unique_ptr<ByteProof>& proof) {
  auto stepped = step(id, proof);
  if (!stepped) return Result<>(tl::unexpected(stepped.error()));
  return *std::move(stepped);
}

Result<std::optional<Result<>>> Prover::step(InodeId id, std::unique_ptr<ByteProof>& proof) {
  const bool begins = proof == nullptr;
  if (begins) proof = SPILLFS_TRY(files_.begin(id));
  const bool needless = proof == nullptr || (!begins && !files_.is_doubtful(id));
  if (needless) return std::optional<Result<>>(Result<>());
  const auto verdict = SPILLFS_TRY(proof->step(kPiece));
  if (verdict == ByteProof::Verdict::kGoesOn) return std::optional<Result<>>();
  return std::optional<Result<>>(files_.settle(*proof, verdict));
}

}  // namespace spillfs::fs
