// SPDX-License-Identifier: Apache-2.0
// StoreHolder: the process that holds the lock of a store, as another one sees it that wants the
// lock: whether it ends, whether that makes progress, and how it is called in a sentence.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fs/store/store_use.h"

namespace spillfs::fs {

class StoreHolder {
 public:
  enum class State : std::uint8_t {
    kUses,      // the store is in use, or nothing tells
    kEnds,      // its mount is gone, and it does what is left
    kDetached,  // its mount was taken out of the tree, and processes still have files of it open
  };

  // Who holds the open lock file `lock` of the store at `path`, by what can be seen now.
  static StoreHolder look(int lock, const std::string& path);

  [[nodiscard]] State state() const { return state_; }
  // Something that changes as long as a holder that ends makes progress.
  [[nodiscard]] std::string progress() const;
  // "store /s is in use by another spillfs: …": what to do about it.
  [[nodiscard]] std::string sentence() const;
  // "process 12, which seals what is open"; for who waits.
  [[nodiscard]] std::string waited_for() const;

 private:
  StoreHolder(std::string path, StoreUse use) : path_(std::move(path)), use_(std::move(use)) {}
  void judge();
  [[nodiscard]] bool shows_processes() const;

  std::string path_;
  StoreUse use_;
  State state_ = State::kUses;
  bool only_reads_ = false;  // as a read-only mount, which publishes nothing
  std::string where_;        // of its mount in the mount table now; empty: none seen
};

}  // namespace spillfs::fs
