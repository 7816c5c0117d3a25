// SPDX-License-Identifier: Apache-2.0
// Preloaded, nothing the process syncs is synced: the negative control of power_loss.py.
#include <fcntl.h>
#include <unistd.h>

extern "C" {

int fsync(int /*descriptor*/) { return 0; }
int fdatasync(int /*descriptor*/) { return 0; }
int syncfs(int /*descriptor*/) noexcept { return 0; }
int sync_file_range(int /*descriptor*/, off64_t /*offset*/, off64_t /*length*/,
                    unsigned /*flags*/) {
  return 0;
}

}  // extern "C"
