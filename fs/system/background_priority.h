// SPDX-License-Identifier: Apache-2.0
// How the calling thread stands back behind those that serve requests. What the kernel does not
// grant is not needed.
#pragma once

namespace spillfs::fs {

// Its reads come after all others. For threads that also commit to the index, which requests wait
// for: these keep their share of the processor.
void read_when_idle();
// It runs after all others, too.
void run_when_idle();

}  // namespace spillfs::fs
