// SPDX-License-Identifier: Apache-2.0
// Mounting, through libfuse, so that an ordinary user gets the same as root (with fusermount3), and
// what is mounted. Nothing here looks into a mount: whose daemon is dead or is this process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

enum class AllowOther : std::uint8_t { kNo, kYes };

// Mounts on `mountpoint`; the descriptor speaks FUSE with the kernel, which begins with INIT. The
// mount ends when its last copy is closed. `source` is what mount(8) shows, `flags` are those of
// mount(8) for the kernel ("noexec"); nosuid and nodev are always among them.
Result<Fd> mount_fuse(const std::string& mountpoint, const std::string& source, AllowOther other,
                      const std::vector<std::string>& flags = {});

// How far the kernel reads ahead of a reader whose file it caches, in bytes; 128 KiB until it is
// told. EACCES for an ordinary user. `device` is the mount's ("0:51").
Result<> set_read_ahead(const std::string& device, std::uint64_t bytes);
Result<std::uint64_t> read_ahead_of(const std::string& mountpoint);

// Is a spillfs mounted exactly there? From the mount table.
bool is_mounted(const std::string& mountpoint);
std::vector<std::string> all_mounts();
// "3.14.0", of the library that is loaded.
std::string libfuse_version();
// Takes it out of the tree if its daemon is gone, and says whether it is; another that is there by
// then stays, and so does another user's.
Result<bool> clear_dead_mount(const std::string& mountpoint);

}  // namespace spillfs::fs
