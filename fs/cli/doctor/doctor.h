// SPDX-License-Identifier: Apache-2.0
// What `spillfs doctor` looks at: the machine, a mount and its disks, Ray's configuration. It
// changes nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace spillfs::fs {

struct Finding {
  enum class Level : std::uint8_t { kOk, kWarn, kFail };
  Level level = Level::kOk;
  std::string what;    // what was looked at: "kernel"
  std::string found;   // in a sentence
  std::string change;  // what to do about it; empty of kOk
};
std::string_view level_name(Finding::Level level);  // "OK", "WARN", "FAIL"

using Findings = std::vector<Finding>;

// Kernel, FUSE, limits, memory, clock.
void examine_machine(Findings& findings);
// A mount, by its .spillfs/status, and the disks of its store.
void examine_mount(const std::string& mountpoint, Findings& findings);
// Where Ray spills to: `config` is its object_spilling_config or "@file" with it; empty: that of
// the environment and of the Ray processes that run here. Nothing is found where there is no Ray.
void examine_ray(const std::string& config, Findings& findings);

}  // namespace spillfs::fs
