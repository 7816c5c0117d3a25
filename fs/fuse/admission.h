// SPDX-License-Identifier: Apache-2.0
// Which of the received requests are served at once: a user gets another thread only while more
// threads are free than the user has already, but for those who may stop the mount anyway. So the
// slow requests of one user take half of the threads at most, those of a second one half of the
// rest, and a third one still finds a thread. Other requests are kept, each user's in their order,
// until one that is being served is done.
//
// Threads: every method may be called from any thread. A mutex guards everything and is held for
// no longer than it takes to copy a request.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "fs/system/fair_queue.h"
#include "storage/base/bytes.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

class Admission {
 public:
  struct Request {
    uid_t user = 0;
    std::vector<std::byte> bytes;
  };
  // What is kept of a user's requests at most, in bytes; a request beyond that is served at once.
  static constexpr std::size_t kKeptOfUser = 64 * kMiB;

  // `threads`: how many serve requests. Root and `trusted`, as whom the daemon runs, may have all.
  Admission(unsigned threads, uid_t trusted) : trusted_(trusted), free_(threads) {
    busy_.reserve(threads);
  }

  // True: the calling thread serves the request and calls served() then. False: a copy is kept.
  bool admit(uid_t user, Bytes request) EXCLUDES(mutex_);
  // The calling thread has served a request of `user`. Gives it a kept one that is admitted now,
  // after which it calls served() again.
  std::optional<Request> served(uid_t user) EXCLUDES(mutex_);

 private:
  [[nodiscard]] bool may_begin(uid_t user) const REQUIRES(mutex_);
  // False when there is no room or no memory for it.
  bool keep(uid_t user, Bytes request) REQUIRES(mutex_);
  // Adds to what a user has; who has nothing is not in `busy_`.
  void count(uid_t user, long threads) REQUIRES(mutex_);

  const uid_t trusted_;
  Mutex mutex_;
  long free_ GUARDED_BY(mutex_);                                 // threads
  std::vector<std::pair<uid_t, long>> busy_ GUARDED_BY(mutex_);  // threads of each user with any
  FairQueue<std::vector<std::byte>> waiting_ GUARDED_BY(mutex_);
  std::map<uid_t, std::size_t> kept_bytes_ GUARDED_BY(mutex_);  // of each user with any in waiting_
};

}  // namespace spillfs::fs
