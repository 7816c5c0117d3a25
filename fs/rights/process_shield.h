// SPDX-License-Identifier: Apache-2.0
// What would end a process though nobody asks it to.
#pragma once

namespace spillfs::fs {

// A reader of what it prints that is gone, and limits on the size of its files and on its time
// (ulimit -f, -t), are errors from now on and not its end; limits, the one of descriptors as well,
// are as high as they may be. Holds for the processes that it starts, too.
void shield_process();

}  // namespace spillfs::fs
