// SPDX-License-Identifier: Apache-2.0
// Which processes use a mount, as fuser(1) finds out: by their working directory, root, program,
// open files and mappings. No file system is asked for it, and no other user's processes are seen
// but by root.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

struct UsingProcess {
  pid_t pid = 0;
  std::string name;  // of its program
};

// Those that use the file system with this number ("0:51"), but for this process.
std::vector<UsingProcess> users_of_device(std::string_view device);

// "12 (python3), 15 (bash) and 3 more"; empty for none.
std::string list_of(const std::vector<UsingProcess>& users);

// What a process calls itself; empty where it is gone.
std::string process_name(pid_t process);

}  // namespace spillfs::fs
