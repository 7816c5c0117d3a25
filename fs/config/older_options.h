// SPDX-License-Identifier: Apache-2.0
// What programs before this one took for options and this one refuses.
#pragma once

#include <string>
#include <string_view>

namespace spillfs::fs {

// Options, as behind -o, with the values that such a program had understood, for a mount that it
// hands over: "quota=10GB" was 10GiB, "quota=1.5" one byte, "space_wait=0.0001" no time. All else
// is as it was.
std::string older_options(std::string_view text);

}  // namespace spillfs::fs
