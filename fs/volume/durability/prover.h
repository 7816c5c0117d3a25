// SPDX-License-Identifier: Apache-2.0
// Compares files that the power may have taken with their sums, for those who want to open them: in
// threads of its own, a piece at a time, the users who wait in turns. So no file, however large,
// keeps another user's from being opened for longer than a piece takes, and no request's thread
// reads it.
//
// Threads: every method may be called from any thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fs/system/fair_queue.h"
#include "fs/volume/durability/proof.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// The files that a Prover looks at. Called with none of its locks held.
class DoubtfulFiles {
 public:
  virtual ~DoubtfulFiles() = default;
  // Null when it is not doubtful, or not any more.
  virtual Result<std::unique_ptr<ByteProof>> begin(InodeId id) = 0;
  virtual bool is_doubtful(InodeId id) = 0;
  // The verdict's consequences. ENOENT when the file is gone with them.
  virtual Result<> settle(const ByteProof& proof, ByteProof::Verdict verdict) = 0;
};

class Prover {
 public:
  // Called once, from a thread of the Prover's or from ask(): what settle() said, what kept the
  // file from being compared, or ECANCELED at the end.
  using Done = std::function<void(const Result<>&)>;

  explicit Prover(DoubtfulFiles& files) : files_(files) {}  // `files` outlives it
  ~Prover() { stop(); }

  void start();
  // Also after stop().
  [[nodiscard]] bool started() const { return started_; }
  // Whoever waits is called, and who asks later at once.
  void stop() EXCLUDES(mutex_);

  // `user` wants the file.
  void ask(InodeId id, uid_t user, Done done) EXCLUDES(mutex_);

 private:
  struct Job {
    std::unique_ptr<ByteProof> proof;  // while a thread has it: that thread's
    std::vector<Done> waiting;
  };

  void run(const std::stop_token& stop);
  void work(uid_t user, InodeId id) EXCLUDES(mutex_);
  // Nothing when it goes on.
  std::optional<Result<>> advance(InodeId id, std::unique_ptr<ByteProof>& proof);
  Result<std::optional<Result<>>> step(InodeId id, std::unique_ptr<ByteProof>& proof);

  DoubtfulFiles& files_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::unordered_map<std::uint64_t, Job> jobs_ GUARDED_BY(mutex_);  // by inode
  FairQueue<InodeId> queue_ GUARDED_BY(mutex_);                     // of jobs that no thread has
  std::atomic<bool> started_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace spillfs::fs
