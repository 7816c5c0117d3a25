// SPDX-License-Identifier: Apache-2.0
// What a mount is asked for, from its configuration file and its command line.
#pragma once

#include <string>
#include <vector>

#include "fs/config/options.h"
#include "storage/base/result.h"
#include "storage/base/trust.h"

namespace spillfs::fs {

struct MountCommand {
  std::string config;                // a configuration file; empty: none
  std::string store;                 // where it is empty, or the mountpoint, the file names it
  std::string mountpoint;            // (one name alone is the mountpoint, but comes as `store`)
  std::vector<std::string> options;  // each "k=v,k=v"
  bool foreground = false;
  std::vector<std::string> kernel_flags;  // "noexec", … for mount(2)
};

struct MountRequest {
  std::string config_file;  // absolute; empty where there is none
  std::string store;
  std::string mountpoint;
  std::vector<GivenOption> options;  // the file's first: what comes later counts
  std::string store_origin;          // "FILE:LINE" or "command line"; empty as the store is
  std::string mountpoint_origin;
  std::vector<std::string> kernel_flags;  // "noexec", … for mount(2)
};

// A store may be Ray's object_spilling_config: a text that begins with "{", or "@FILE". Neither
// options nor directories are looked at. EINVAL says what is wrong; or what the system says.
Result<MountRequest> gather(const MountCommand& command);
struct NamedStore {
  std::string path;
  Foreign foreign = Foreign::kRefuse;  // as the .toml says
};
// The store that a check is asked for: a directory, "{…}", "@FILE", or a .toml that names it.
Result<NamedStore> store_of(const std::string& text);

bool is_config_file(const std::string& text);

// The options that a mount of `now` goes on with when its configuration file is read again. Errors
// as above.
Result<std::vector<GivenOption>> read_again(const std::string& config_file,
                                            const std::vector<GivenOption>& now);
// Changes `wanted` so that what can't change while a mount is in use stays as in `now`, which the
// log tells.
Result<> keep_what_stays(const MountOptions& now, std::vector<GivenOption>& wanted);

}  // namespace spillfs::fs
