// SPDX-License-Identifier: Apache-2.0
// Which of Ray's external storages.
#pragma once

#include <string>

namespace spillfs::fs {

struct StorageChoice {
  std::string config;  // Ray's object_spilling_config, or "@file" with it
  std::string session;
};

}  // namespace spillfs::fs
