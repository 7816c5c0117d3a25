// SPDX-License-Identifier: Apache-2.0
// The options of a mount: one table, from which -o, --help, .spillfs/config and docs/CLI.md come.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/kernel_features.h"
#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace spillfs::fs {

enum class Durability : std::uint8_t { kProcess, kFsync, kInterval };

enum class WriteMode : std::uint8_t { kAuto, kDirect, kCached };

struct MountOptions {
  std::uint64_t quota = 0;       // bytes; 0: what the data directories hold
  std::uint64_t user_quota = 0;  // bytes of each user but root and ours; 0: none
  std::uint64_t fuse_limit = 4 * kMiB;
  std::uint64_t segment_size = 64 * kMiB;
  std::uint64_t staging = 64 * kMiB;
  std::uint64_t pool = kGiB;
  std::uint64_t block_cache = 64 * kMiB;
  std::optional<std::uint64_t> index_reserve;  // bytes; none: max(256 MiB, 2 %)
  WriteMode write = WriteMode::kAuto;
  std::uint64_t write_behind = kGiB;    // bytes of a file
  std::uint64_t read_ahead = 4 * kMiB;  // bytes
  bool background_checksums = true;
  Durability durability = Durability::kProcess;
  std::chrono::milliseconds sync_interval{0};  // of kInterval
  std::uint64_t scrub_rate = 16 * kMiB;        // bytes a second; 0: no background scrub
  std::uint64_t threads = 4;
  std::chrono::milliseconds space_wait{10000};
  FeatureSet without;             // what the kernel could do and shall not
  std::vector<std::string> data;  // data directories of a new store; none: the store itself
  std::string log_level = "info";
  std::optional<bool> allow_other;  // none: for root
};

struct OptionSpec {
  std::string_view name;
  std::string_view value;  // what it takes: "SIZE", "SECONDS", …; empty for a switch
  std::string_view fallback;
  std::string_view help;
  std::function<Result<>(MountOptions&, std::string_view)> set;
  std::function<std::string(const MountOptions&)> show;
};

std::span<const OptionSpec> option_table();

// "quota=10GiB,threads=8" on top of `options`. EINVAL with a sentence that names what is wrong and,
// for an unknown name, the nearest known one.
Result<> parse_options(std::string_view text, MountOptions& options);
// One text after the other, as they were given to -o.
Result<MountOptions> parse_options(const std::vector<std::string>& texts);
// "quota=0\nfuse_limit=4MiB\n…"
std::string format_options(const MountOptions& options);

}  // namespace spillfs::fs
