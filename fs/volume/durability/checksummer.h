// SPDX-License-Identifier: Apache-2.0
// Makes the sums of files that were changed in place, some time after their last writer: in a
// thread of its own, at a rate, a piece at a time, the files' owners in turns. So no file that a
// user makes, however large, holds up reclaim, an unmount, its own removal, or the sums of other
// users' files for longer than a piece takes. Holes are not read.
//
// Threads: every method may be called from any thread; add() and status() never wait for a walk.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/system/fair_queue.h"
#include "fs/volume/accounts/byte_pace.h"
#include "storage/base/ids.h"
#include "storage/base/mutex.h"
#include "storage/base/result.h"
#include "storage/device.h"

namespace spillfs::fs {

// A file as it was when its sums began to be made. It may be removed and changed meanwhile.
class FileToSum {
 public:
  virtual ~FileToSum() = default;
  [[nodiscard]] virtual std::uint64_t length() const = 0;
  // Whether it still is as it was.
  virtual bool unchanged() = 0;
  virtual Result<std::shared_ptr<storage::File>> open() = 0;
  // The sums from chunk `first` on; nothing happens once the file has changed.
  virtual Result<> keep(std::uint64_t first, std::vector<std::uint64_t> sums) = 0;
  // All sums have been kept: they are the file's from now on, unless it has changed.
  virtual Result<> finish() = 0;
};

// The files that a Checksummer makes sums of. Called with none of its locks held.
class FilesToSum {
 public:
  virtual ~FilesToSum() = default;
  // Null when there are no sums to be made, EAGAIN while it may still be written.
  virtual Result<std::unique_ptr<FileToSum>> begin(InodeId id) = 0;
};

struct ChecksummerOptions {
  std::chrono::milliseconds delay{0};  // after add(): many files die before
  std::uint64_t rate = 0;              // bytes read a second; 0: any number
};

class Checksummer {
 public:
  Checksummer(FilesToSum& files, ChecksummerOptions options);  // `files` outlives it
  ~Checksummer() { stop(); }

  // Makes sums in the background from now on.
  void start();
  // At once, in the middle of a file; what has not been summed stays so.
  void stop();

  // `owner` has changed the file and it may need new sums. A user who has very many waiting is not
  // heard; the scrub comes by such files again.
  void add(InodeId id, uid_t owner) EXCLUDES(mutex_);
  // Makes the sums that are due now, in the calling thread.
  void run_due();

  struct Status {
    std::uint64_t files = 0;  // that wait for sums
    std::uint64_t bytes = 0;  // read so far
  };
  Status status() EXCLUDES(mutex_);

 private:
  using Clock = BytePace::Clock;
  struct Walk {
    std::unique_ptr<FileToSum> file;
    std::uint64_t next = 0;  // chunk
  };
  struct Job {
    InodeId id{};
    std::optional<Walk> walk;  // none: it has not begun
  };
  enum class Outcome : std::uint8_t { kGoesOn, kDone, kLater };

  void run(const std::stop_token& stop);
  std::optional<std::pair<uid_t, Job>> next_job(Clock::time_point due) REQUIRES(mutex_);
  void work(uid_t owner, Job job, const std::stop_token& stop) EXCLUDES(mutex_, walking_);
  Result<Outcome> advance(Job& job, const std::stop_token& stop) REQUIRES(walking_);
  Result<Outcome> sum_piece(Walk& walk, const std::stop_token& stop) REQUIRES(walking_);
  Result<std::uint64_t> sum_chunk(storage::File& file, std::uint64_t offset, std::uint64_t length)
      REQUIRES(walking_);
  bool keep_to_rate(std::uint64_t bytes, const std::stop_token& stop) REQUIRES(walking_)
      EXCLUDES(mutex_);

  FilesToSum& files_;
  const ChecksummerOptions options_;
  Mutex walking_;  // one piece of one file at a time; before mutex_
  BytePace pace_ GUARDED_BY(walking_);
  std::vector<std::byte> chunk_ GUARDED_BY(walking_);
  Mutex mutex_;
  CondVar changed_;
  FairQueue<Job> jobs_ GUARDED_BY(mutex_);
  // Jobs that have not begun, and from when they may.
  std::unordered_map<std::uint64_t, Clock::time_point> due_ GUARDED_BY(mutex_);
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::jthread thread_;
};

// Whether sums of a file with `length` bytes, of which `allocated` are on the disk, are worth
// making: a size that is mostly holes costs its owner nothing, and its sums would cost us.
bool is_worth_sums(std::uint64_t length, std::uint64_t allocated);

}  // namespace spillfs::fs
