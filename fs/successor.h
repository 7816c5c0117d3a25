// SPDX-License-Identifier: Apache-2.0
// The program that is to go on with a mount: where it lies, whether it can, and its start. For a
// supervisor, which has one thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/hand_over.h"

namespace spillfs::fs {

inline constexpr pid_t kNoProcess = -1;  // never to be signalled: kill(-1) goes to all there are

// Of the program that runs now, also when another lies there meanwhile.
std::string own_program();

// Whether `program` says that it can go on with the mount: ENOEXEC, ETIMEDOUT.
Result<> probe_program(const std::string& program, const HandOver& what);

// Becomes `program`; in a child that was forked for it. `how`: "--probe" or "--worker".
[[noreturn]] void run_program(const std::string& program, const char* how, const Fd& hand_over);

// Ends a child at once, if it is one, and waits for it.
void stop_for_good(pid_t& process);

}  // namespace spillfs::fs
