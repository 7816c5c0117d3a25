// SPDX-License-Identifier: Apache-2.0
// The configuration file of a mount: TOML with the store, the mountpoint and the options of the
// table by their names. docs/CLI.md says what each one takes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fs/config/options.h"
#include "storage/base/result.h"

namespace spillfs::fs {

struct ConfigFile {
  std::string path;   // absolute
  std::string store;  // empty where the file has none, as the mountpoint
  std::string mountpoint;
  std::vector<GivenOption> options;  // each one alone, from "FILE:LINE"
  // Where the first two were given; empty as they are.
  std::string store_origin;
  std::string mountpoint_origin;
};

// Relative names of directories in it are from the file's own. EPERM where others than root, the
// caller and who called sudo own or may write it, or could put another in its place. EINVAL begins
// with "FILE:LINE: " and says what a value has to be, or which key may have been meant; else what
// the system says.
Result<ConfigFile> read_config_file(const std::string& path);
// As above, of a text; `path` is absolute.
Result<ConfigFile> parse_config(std::string_view text, const std::string& path);

// The values of a text as config_text() makes it, as JSON: by name `value` and `from`, its comment.
Result<std::string> config_as_json(std::string_view text);

}  // namespace spillfs::fs
