// SPDX-License-Identifier: Apache-2.0
// What /proc says of descriptors, of this process or of another that may be looked at.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillfs::fs {

inline constexpr pid_t kThisProcess = 0;

// The number that fdinfo has for `key`: "mnt_id" of every descriptor, "fuse_connection" of one that
// speaks FUSE with the kernel, on kernels that tell.
std::optional<std::uint64_t> descriptor_number(int file, std::string_view key,
                                               pid_t process = kThisProcess);

}  // namespace spillfs::fs
