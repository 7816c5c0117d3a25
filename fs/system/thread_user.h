// SPDX-License-Identifier: Apache-2.0
// As which user a thread of any process uses files, where a request does not say that.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

namespace spillfs::fs {

// The uid for files (fsuid). None where there is no such thread, or its process is not to be seen.
std::optional<uid_t> user_of_thread(pid_t thread);
// The same by /proc, for kernels before 6.13.
std::optional<uid_t> user_by_proc(pid_t thread);
// The ioctl(2) requests that it makes.
std::vector<unsigned long> thread_calls();

}  // namespace spillfs::fs
