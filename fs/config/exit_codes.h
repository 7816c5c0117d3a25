// SPDX-License-Identifier: Apache-2.0
// What the process returns. Part of the interface: docs/CLI.md lists them.
#pragma once

namespace spillfs::fs {

enum ExitCode : int {
  kExitSuccess = 0,
  kExitProblemsFound = 1,  // check, scrub: the store has damage
  kExitUsage = 2,          // unknown option, value that does not parse
  kExitMountpoint = 3,     // not a directory, not empty, already mounted, nothing mounted
  kExitStore = 4,          // not a store, of a newer format, damaged, a data directory is missing
  kExitStoreInUse = 5,     // another process has it
  kExitSystem = 6,         // the operating system refused: no FUSE, no permission, I/O error
  kExitWorkerDied = 7,     // the serving process ended unexpectedly; the mount is gone
  kExitExternal = 8,       // spill, restore, delete, destroy: the external storage failed
};

}  // namespace spillfs::fs
