// SPDX-License-Identifier: Apache-2.0
// Options as text, to compare them.
#pragma once

#include <string>

#include "fs/config/options.h"

namespace spillfs::tests {

// "quota=0\nfuse_limit=512KiB\n…"
inline std::string format_options(const fs::MountOptions& options) {
  std::string text;
  for (const fs::OptionSpec& spec : fs::option_table()) {
    if (!spec.show) continue;
    text.append(spec.name).append("=").append(spec.show(options)).append("\n");
  }
  return text;
}

}  // namespace spillfs::tests
