// SPDX-License-Identifier: Apache-2.0
#include "fs/config/ray_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "storage/external/external_config.h"

namespace spillfs::fs {

Result<RayStore> parse_ray_config(std::string_view json) {
  const auto root = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || !root.value("type", nlohmann::json()).is_string()) {
    return fail(EINVAL, "object_spilling_config: not a JSON object with a type");
  }
  const auto type = root["type"].get<std::string>();
  if (type != "filesystem") {
    return fail(EINVAL, fmt::format("object_spilling_config: only type 'filesystem' names "
                                    "directories for a store; 'spillfs spill' takes '{}'",
                                    type));
  }
  const auto config = storage::external::parse_storage_config(json, {});
  if (!config) {
    return fail(EINVAL, "object_spilling_config: " + config.error().context);
  }
  RayStore found;
  for (const auto& place : config->places) {
    const auto folder = std::filesystem::path(place.uri) / kStoreInRaysDirectory;
    found.data.push_back(folder.string());
  }
  found.store = found.data.front();
  if (found.data.size() == 1) found.data.clear();
  return found;
}

}  // namespace spillfs::fs
