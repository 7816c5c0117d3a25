// SPDX-License-Identifier: Apache-2.0
// What Ray's object_spilling_config asks for. docs/RAY.md lists the params of each type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/result.h"
#include "storage/external/object_uri.h"
#include "storage/external/test_storages.h"

namespace spillfs::storage::external {

// A Place (object_store_storage.h) whose store is not open yet.
struct PlaceConfig {
  std::string uri;  // of the store
  std::string key_prefix;
  std::string url_prefix;
  std::vector<std::string> also;
};

// A folder to be made where it is missing: `name` beneath the directory `root`.
struct FolderConfig {
  std::string root;
  std::string name;
};

struct StorageConfig {
  std::vector<PlaceConfig> places;  // none: the storage that refuses everything
  std::vector<FolderConfig> folders;
  std::string scheme;  // what urls lack of a uri
  S3Parameters s3;
  std::optional<UnstableOptions> unstable;
  std::optional<SlowOptions> slow;
};

// Reads the environment's RAY_STORAGE where ray_storage has no param for it; does no I/O. EINVAL
// names the type or param that is unknown, missing or of another type, never a param's value.
Result<StorageConfig> parse_storage_config(std::string_view config, const std::string& session);

}  // namespace spillfs::storage::external
