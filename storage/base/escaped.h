// SPDX-License-Identifier: Apache-2.0
// Text that users choose (names, xattrs, urls, names of processes) within lines that people and
// programs read: it ends no line, begins none and sends no terminal a command.
//
// All functions write as `ls -b` does: "\n", "\t", … where C has a letter, else three octal digits
// a byte ("\033"). They do so for control characters (C0, DEL, C1), for bytes that are no UTF-8,
// for Unicode's line separators and for what turns the direction of writing. All else, spaces too,
// stays as it is.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace spillfs {

// For one name within a line. A backslash becomes two, so that the name can be told from its text.
// Not for what has been escaped already.
std::string escaped(std::string_view name);

// For a whole line, where it leaves the program: backslashes stay, so that names in it which were
// escaped before are not escaped twice.
std::string one_line(std::string_view line);

// one_line() of each line of a text whose line breaks are meant.
std::string clean_lines(std::string_view text);

}  // namespace spillfs
