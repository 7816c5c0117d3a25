// SPDX-License-Identifier: Apache-2.0
// What the verbs of Ray's external storages have in common.
#pragma once

#include <csignal>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "fs/cli/shared/storage_choice.h"
#include "fs/cli/shared/streams.h"
#include "storage/external/external_storage.h"

namespace spillfs::fs {

// Holds back SIGINT, SIGTERM and SIGHUP while it lives, so that what is half done can be removed
// first; then they do what they always do. For the thread that makes it and those it starts.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  static Result<> check();  // EINTR when one of them came

 private:
  sigset_t before_{};
};

// JSON that is given as such, or as "@file".
Result<std::string> text_given(const std::string& given);

// "\r12 MiB of 40 MiB" on a terminal, now and then; nothing elsewhere.
class Progress {
 public:
  Progress(std::ostream& err, const char* what, std::uint64_t total)
      : err_(err), what_(what), total_(total) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(std::uint64_t bytes);

 private:
  static constexpr std::uint64_t kStep = 16 * kMiB;

  std::ostream& err_;
  const char* const what_;
  const std::uint64_t total_;  // bytes
  std::uint64_t done_ = 0;
  std::uint64_t shown_ = 0;
};

// A storage, or a sentence on `err` and the exit code.
struct OpenedStorage {
  std::unique_ptr<storage::external::ExternalStorage> storage;  // empty: `code` says how it failed
  ExitCode code = kExitSuccess;
};
OpenedStorage open_storage(const StorageChoice& choice, Streams streams,
                           storage::external::SpillHooks hooks = {});

// The sum of the sizes in `urls`. EINVAL for what is no url.
Result<std::uint64_t> size_of(const std::vector<std::string>& urls);

std::string base64(std::string_view bytes);

}  // namespace spillfs::fs
