// SPDX-License-Identifier: Apache-2.0
#include "fs/system/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <vector>

#include "storage/base/fd.h"

namespace spillfs::fs {
namespace {

std::uint64_t number_of(const char* name) {
  const Fd file(::open(name, O_RDONLY | O_CLOEXEC));
  struct statfs kind {};
  struct stat found {};
  const bool real = file && ::fstatfs(file.get(), &kind) == 0 && kind.f_type == NSFS_MAGIC;
  return real && ::fstat(file.get(), &found) == 0 ? found.st_ino : 0;
}

}  // namespace

Namespaces own_namespaces() {
  return {.pids = number_of("/proc/self/ns/pid"),
          .time = number_of("/proc/self/ns/time"),
          .mounts = number_of("/proc/self/ns/mnt")};
}

std::string differences(const Namespaces& a, const Namespaces& b) {
  std::vector<std::string> found;
  if (a.pids == 0 || a.pids != b.pids) found.emplace_back("processes");
  if (a.time != b.time) found.emplace_back("time");
  if (a.mounts == 0 || a.mounts != b.mounts) found.emplace_back("mounts");
  return fmt::format("{}", fmt::join(found, ", "));
}

}  // namespace spillfs::fs
