// SPDX-License-Identifier: Apache-2.0
// A file whose bytes are changed loses set-uid and set-gid, so that no user can make another user's
// program do other things with that user's rights. The rule is Linux's for every way bytes change.
// The kernel says with the request who has no right to keep them (fs/fuse/fuse_kernel.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace spillfs::fs {

// The mode of a file whose bytes are changed by one without that right: set-uid goes, and set-gid
// where the group may execute the file, or `may_keep_set_gid`, which is asked only then, says no. A
// directory keeps both.
std::uint32_t mode_after_change(std::uint32_t mode, const std::function<bool()>& may_keep_set_gid);

// Whether a thread is in the group or may keep set-gid of every file. False where /proc does not
// tell.
bool may_keep_set_gid(pid_t thread, gid_t group);
// Whether a thread may keep set-uid and set-gid of every file it changes, as root does who has
// CAP_FSETID. False where /proc does not tell.
bool may_keep_privileges(pid_t thread);

}  // namespace spillfs::fs
