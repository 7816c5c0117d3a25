// SPDX-License-Identifier: Apache-2.0
// Text that others chose, such as a name, for a line that people or programs read.
#pragma once

#include <string>
#include <string_view>

namespace spillfs::fs {

// Control characters (C0, DEL and C1), backslashes and bytes that are not UTF-8 become what C
// writes for them: "\n", "\t", "\\", "\033", "\377". So it stays within its line and does nothing
// to a terminal; everything else stays as it is.
std::string escaped(std::string_view text);

}  // namespace spillfs::fs
