// SPDX-License-Identifier: Apache-2.0
// Ray's object_spilling_config in place of a store.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"

namespace spillfs::fs {

// In each directory of type "filesystem"; Ray's own folders there begin with "ray_".
inline constexpr std::string_view kStoreInRaysDirectory = "spillfs-store";

struct RayStore {
  std::string store;              // in the first directory
  std::vector<std::string> data;  // empty where there is one directory only: the store itself
};

// EINVAL with a sentence: it is not JSON, of a type that is no directory, or has unknown params.
Result<RayStore> parse_ray_config(std::string_view json);

}  // namespace spillfs::fs
