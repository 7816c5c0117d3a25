// SPDX-License-Identifier: Apache-2.0
// What systemd ends this process for.
#pragma once

namespace spillfs::fs {

// Whether it has a job to restart the unit that this process is of, rather than to stop it: SIGTERM
// is the same for both, and ExecStop= is not run while the service is started or reloaded. False
// where systemd does not say so within some seconds.
bool is_being_restarted();

}  // namespace spillfs::fs
