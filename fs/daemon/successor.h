// SPDX-License-Identifier: Apache-2.0
// The program that is to go on with a mount: where it lies, whether it can, and its start. For a
// supervisor, which has one thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "fs/daemon/hand_over.h"

namespace spillfs::fs {

inline constexpr pid_t kNoProcess = -1;  // never to be signalled: kill(-1) goes to all there are

// Of the program that runs now, also when another lies there meanwhile.
std::string own_program();

// Whether `program` says that it can go on with the mount: ENOEXEC, ETIMEDOUT. Calls `pause` while
// it waits, which comes back when a child has ended, at the latest after some seconds. One that
// says nothing is killed and left to the caller to wait for.
Result<> probe_program(const std::string& program, const HandOver& what,
                       const std::function<void()>& pause);

// Becomes `program`; in a child that was forked for it. `how`: "--probe" or "--worker".
[[noreturn]] void run_program(const std::string& program, const char* how, const Fd& hand_over);

}  // namespace spillfs::fs
