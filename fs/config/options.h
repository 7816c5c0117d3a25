// SPDX-License-Identifier: Apache-2.0
// The options of a mount: one table, from which -o, the configuration file, --help,
// .spillfs/config, the manual, the completions and docs/CLI.md come.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/config/kernel_features.h"
#include "fs/system/boot.h"
#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/base/trust.h"

namespace spillfs::fs {

enum class Durability : std::uint8_t { kProcess, kFsync, kInterval };

enum class WriteMode : std::uint8_t { kAuto, kDirect, kCached };

// What may be asked for as a limit on a user's open files: as many as there are of all users
// (OpenFiles::kMost).
inline constexpr std::uint64_t kMostHandles = std::uint64_t{1} << 20;

struct MountOptions {
  std::uint64_t quota = 0;       // bytes; 0: what the data directories hold
  std::uint64_t user_quota = 0;  // bytes of each user but root and ours; 0: none
  std::uint64_t user_handles = std::uint64_t{1} << 16;  // files that each of them has open
  std::uint64_t fuse_limit = 512 * kKiB;
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
  std::uint64_t checksum_rate = 128 * kMiB;    // bytes a second
  std::uint64_t scrub_rate = 16 * kMiB;        // bytes a second, at least; 0: no background scrub
  std::chrono::seconds scrub_every{86'400};    // 0: none, too
  std::uint64_t threads = 8;
  std::chrono::milliseconds space_wait{10000};
  FeatureSet without;             // what the kernel could do and shall not
  bool read_only = false;         // nothing in the store is changed
  std::vector<std::string> data;  // data directories of a new store; none: the store itself
  Foreign foreign_store = Foreign::kRefuse;
  std::string log_level = "info";
  std::string log = "auto";
  std::string metrics;       // where they are served, as parse_metrics_address() takes it
  std::string metrics_file;  // absolute; both empty for none
  std::optional<std::chrono::seconds> reap;  // none: off
  BootChoice boot = BootChoice::kAuto;
  bool sandbox = true;              // filter the worker's system calls
  std::optional<bool> allow_other;  // none: for root
  // Where each one was given ("-o", "/etc/spillfs.toml:3"), by name; what was not is missing.
  std::map<std::string, std::string, std::less<>> origins;
};

// What allow_other comes to.
bool others_may_use(const MountOptions& options);

enum class OptionKind : std::uint8_t { kSize, kTime, kCount, kYesNo, kWord, kList, kSwitch };

// In bytes, milliseconds or pieces, both included.
struct OptionRange {
  static constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;
  std::uint64_t least = 0;
  std::uint64_t most = kNoLimit;
};

// Whether a mount that goes on (SIGHUP) can take another value over.
enum class OptionChange : std::uint8_t { kAtReload, kAtMount };

struct OptionSpec {
  std::string_view name;
  OptionKind kind = OptionKind::kWord;
  std::string_view value;  // what it takes: "SIZE", "SECONDS", …; empty for a switch
  std::string_view fallback;
  std::string_view help;
  std::function<Result<>(MountOptions&, std::string_view)> set;
  std::function<std::string(const MountOptions&)> show;  // null: another one shows it
  OptionRange range;                                     // of a size, a time or a count
  std::vector<std::string_view> words;                   // that it can be; not always all
  OptionChange change = OptionChange::kAtReload;
};

std::span<const OptionSpec> option_table();

// "1MiB to 16GiB", "at least 16MiB"; empty where there is none, and for what is no number.
std::string describe_range(const OptionSpec& spec);
// What it does, with its range: "size of a fused segment; 1MiB to 4GiB".
std::string describe(const OptionSpec& spec);
// The name, and what it takes: "quota=SIZE".
std::string usage_of(const OptionSpec& spec);

// "quota=1GiB,data=/a" taken apart at its commas; a backslash makes a comma or a backslash part of
// what is written.
std::vector<std::string> split_options(std::string_view text);

// The words of a list, as of `data`: they stand between colons; a backslash makes a colon or a
// backslash part of a word.
std::vector<std::string> split_list(std::string_view text);
std::string join_list(const std::vector<std::string>& words);

// As one would write it to -o: a backslash before each comma and backslash in the value.
std::string option_text(std::string_view name, std::string_view value);

// An option, or several with commas in between, as they are written to -o, and where they were.
struct GivenOption {
  std::string text;
  std::string origin;

  friend bool operator==(const GivenOption&, const GivenOption&) = default;
};
inline constexpr std::string_view kFromCommandLine = "-o";

// "quota=10GiB,threads=8" on top of `options`. EINVAL with a sentence that names what is wrong and,
// for an unknown name, a known one that is near.
Result<> parse_options(std::string_view text, MountOptions& options,
                       std::string_view origin = kFromCommandLine);
// One after the other; of a read-only mount what would change its store is off, whatever they say.
// The sentence begins with the origin, unless that is the command line.
Result<MountOptions> parse_options(const std::vector<GivenOption>& given);

}  // namespace spillfs::fs
