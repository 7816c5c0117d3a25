// SPDX-License-Identifier: Apache-2.0
// What a mount's daemon tells in MOUNTPOINT/.spillfs, as the verbs read it: only of a mount of
// spillfs in the mount table, never of a directory that looks like one; from a child process, so
// that a daemon that does not answer stops no verb; and of another user's mount as that user, so
// that what it says can cost only that user.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "fs/config/exit_codes.h"
#include "fs/system/pinned_mount.h"
#include "storage/base/result.h"

namespace spillfs::fs {

// EINVAL: no daemon answers; EACCES: it has no such file for this user; ETIMEDOUT, EFBIG.
Result<std::string> read_control_text(const PinnedMount& mount, std::string_view name);

// As above, of the mount on `mountpoint`. Empty when there is none, or nothing is told.
std::string read_control_text(const std::string& mountpoint, std::string_view name);
// A value that is discarded then.
nlohmann::json read_control_json(const std::string& mountpoint, std::string_view name);
// An object; anything else when no daemon answers. Nothing is known of its values' types.
nlohmann::json read_status(const std::string& mountpoint);
nlohmann::json read_status(const PinnedMount& mount);

// For what acts on a mount's word, or waits for it: EPERM, with a sentence, for a mount of another
// user than root or this one.
Result<PinnedMount> trusted_mount(const std::string& mountpoint);
// How a verb ends for which there was none.
ExitCode exit_code_untrusted(const Error& error);

}  // namespace spillfs::fs
