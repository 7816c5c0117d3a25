// SPDX-License-Identifier: Apache-2.0
// The filter for system calls (seccomp(2)) that a process cannot take off again. It lets through
// what is on a list: files, memory, threads of its own, time, and what is asked for below. It lets
// nothing through that starts programs, looks into other processes or signals them, mounts, enters
// namespaces, changes users, or reaches the network. What is not on the list fails with ENOSYS, as
// on an older kernel, so that libraries do without it; the best known of it fails with EPERM.
#pragma once

#include <cstdint>

#include "storage/base/result.h"

namespace spillfs::fs {

struct SandboxRules {
  enum class Files : std::uint8_t { kReadAndWrite, kReadOnly };
  enum class Sockets : std::uint8_t {
    kNone,
    kListening,  // those that were made before may listen and answer; no others are made
  };
  enum class Journal : std::uint8_t { kNo, kYes };  // a socket to send lines to systemd's journal

  Files files = Files::kReadAndWrite;
  Sockets sockets = Sockets::kNone;
  Journal journal = Journal::kNo;
};

// For all threads of this process, which has no_new_privs from then on. ENOSYS or EINVAL where the
// kernel has no such filters.
Result<> enter_sandbox(const SandboxRules& rules);

}  // namespace spillfs::fs
