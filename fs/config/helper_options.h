// SPDX-License-Identifier: Apache-2.0
// The words of "-o" that are no options of the option table: mount(8)'s, the kernel's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/result.h"
#include "storage/device.h"

namespace spillfs::fs {

// What a mount is asked for by "-o TEXT…", taken apart.
struct HelperOptions {
  std::string config;               // of config=FILE
  std::vector<std::string> own;     // of the option table
  std::vector<std::string> kernel;  // for mount(2)
  // Of a mount that is there already and is to be so from now on.
  std::optional<storage::Access> remount;
};
enum class Sloppy : std::uint8_t { kNo, kYes };  // unknown options are passed over
// Options that mount(8) or others handle are left out; one that asks for what a mount can't be
// ("sync") is EINVAL with a sentence, as is an unknown one.
Result<HelperOptions> take_apart(const std::vector<std::string>& texts, Sloppy sloppy);

}  // namespace spillfs::fs
