// SPDX-License-Identifier: Apache-2.0
// The process behind a mount, as something that signals may be sent to.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "fs/system/pinned_mount.h"
#include "storage/base/fd.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// A pidfd of the supervisor that `status` names, which is the daemon's word and is not relied on.
// It has to be a process of the user who made the mount, as all its user ids say, and to hold the
// connection of this mount. Where /proc does not show that to this user, or the kernel does not
// tell connections apart, its program's name has to begin with spillfs instead, so that signals to
// others' daemons fail as they do everywhere. ESRCH with a sentence for anything else.
Result<Fd> supervisor_of(const PinnedMount& mount, const nlohmann::json& status);

// To such a process: EPERM where it is not this user's, ESRCH once it has ended.
Result<> send_signal(const Fd& process, int number);

}  // namespace spillfs::fs
