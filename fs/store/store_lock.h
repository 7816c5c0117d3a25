// SPDX-License-Identifier: Apache-2.0
// The lock of a store: a file in it that its user holds by flock(2), so that it is free the moment
// its last holder is gone, however that ended. Who finds it held learns from what the holder
// publishes there (StoreUse), from the mount table and from /proc whether the holder ends: then it
// waits. A store that is in use is refused at once.
//
// Threads: every function may be called from any thread.
#pragma once

#include <chrono>
#include <string>

#include "fs/store/store_use.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {

inline constexpr const char* kLockFile = "lock";

// How long a holder that ends is waited for.
struct EndPatience {
  std::chrono::milliseconds idle{60'000};  // since it last made progress
  // For the processes that keep a mount which was taken out of the tree (umount -l).
  std::chrono::milliseconds detached{10'000};
};

// The lock, made where it is missing. EBUSY with a sentence that names its holder and says what to
// do: at once while the store is in use, and when a holder that ends makes no progress.
Result<Fd> lock_store(const TrustedDirectory& store, const EndPatience& patience = {});

// As above, beside others that only read, and without a change to anything. The descriptor is empty
// where there is no lock file: nobody has ever used the store, or it is a copy.
Result<Fd> lock_store_for_reading(const TrustedDirectory& store, const EndPatience& patience = {});

// Says in the lock file, which this process holds, that it serves this mount; once its mount is
// gone, what is left to do.
void publish_mount(int lock, const std::string& mountpoint, const std::string& device);
void publish_end(int lock, std::string_view doing, std::uint64_t done);

// Publishes what a process does at the end of its mount, as it goes on: when that changes, and not
// more often than ten times a second else. One thread at a time.
class EndReport {
 public:
  explicit EndReport(int lock) : lock_(lock) {}
  void tell(std::string_view doing);

 private:
  int lock_;
  std::string doing_;
  std::uint64_t done_ = 0;
  std::chrono::steady_clock::time_point told_;
};

}  // namespace spillfs::fs
