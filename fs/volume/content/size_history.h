// SPDX-License-Identifier: Apache-2.0
// Where new files have lately become large: what a new file will be is asked before it has a byte.
// Threads: every method may be called from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "storage/base/ids.h"
#include "storage/base/mutex.h"

namespace spillfs::fs {

// A directory and the one it lies in: runtimes make a directory for each session.
struct Home {
  InodeId directory{};
  InodeId parent{};
};

class SizeHistory {
 public:
  // A file that was made there has lost its last writer.
  void note(const Home& home, bool large) EXCLUDES(mutex_);
  // Whether the last two files made in the directory, or if there were none in its siblings, became
  // large.
  [[nodiscard]] bool expects_large(const Home& home) const EXCLUDES(mutex_);

 private:
  static constexpr unsigned kEnough = 2;
  static constexpr std::size_t kPlaces = 256;  // of which two directories may want the same
  struct Place {
    InodeId directory{};
    unsigned large_in_a_row = 0;
  };

  using Places = std::array<Place, kPlaces>;
  static void note_in(Places& places, InodeId directory, bool large);
  static const Place* find(const Places& places, InodeId directory);

  mutable Mutex mutex_;
  Places inside_ GUARDED_BY(mutex_);  // of files in the directory
  Places below_ GUARDED_BY(mutex_);   // of files in its subdirectories
};

}  // namespace spillfs::fs
