// SPDX-License-Identifier: Apache-2.0
// libfuse's low-level interface, in the version this code is written for.
#pragma once

#define FUSE_USE_VERSION 314  // libfuse asks for a macro

#include <fuse_lowlevel.h>
