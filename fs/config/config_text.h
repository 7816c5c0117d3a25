// SPDX-License-Identifier: Apache-2.0
// The options in force, as a configuration file whose comments say where each value comes from.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/config/options.h"

namespace spillfs::fs {

struct ConfigText {
  // Beside the options, which may be empty.
  std::string store;
  std::string store_origin;
  std::string mountpoint;
  std::string mountpoint_origin;
  // Of a live mount: what it has, where it does not follow from the options alone.
  std::vector<std::string> data;
  std::optional<std::uint64_t> read_ahead;  // bytes, as the kernel says
};

// "quota = \"10GiB\"    # /etc/spillfs.toml:3\n…"
std::string config_text(const MountOptions& options, const ConfigText& more);

}  // namespace spillfs::fs
