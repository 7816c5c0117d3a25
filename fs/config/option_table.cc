// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "fs/config/age.h"
#include "fs/config/metrics_address.h"
#include "fs/config/options.h"

namespace spillfs::fs {
namespace {

constexpr std::string_view kNone = "none";
constexpr std::uint64_t kLargestFused = 64 * kMiB;

using Set = std::function<Result<>(MountOptions&, std::string_view)>;

OptionSpec size_option(std::string_view name, std::string_view fallback, std::string_view help,
                       std::uint64_t MountOptions::*field, OptionRange range = {}) {
  const auto set = [=](MountOptions& options, std::string_view text) -> Result<> {
    const std::uint64_t size = SPILLFS_TRY(parse_size(text));
    if (size < range.least || size > range.most) {
      return fail(EINVAL, fmt::format("'{}' is not between {} and {}", text,
                                      format_size(range.least), format_size(range.most)));
    }
    options.*field = size;
    return {};
  };
  return {.name = name,
          .kind = OptionKind::kSize,
          .value = "SIZE",
          .fallback = fallback,
          .help = help,
          .set = set,
          .show = [=](const MountOptions& options) { return format_size(options.*field); },
          .range = range};
}

constexpr std::string_view kAuto = "auto";

// Which of `words` it is.
template <class Words>
Result<std::size_t> place_among(const Words& words, std::string_view text) {
  const auto found = std::find(words.begin(), words.end(), text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  return fail(EINVAL, fmt::format("'{}' is not one of {}", text, fmt::join(words, ", ")));
}

Result<> set_index_reserve(MountOptions& options, std::string_view text) {
  options.index_reserve.reset();
  if (text != kAuto) options.index_reserve = SPILLFS_TRY(parse_size(text));
  return {};
}

constexpr OptionRange kReceiveThreads{.least = 1, .most = 64};

constexpr OptionRange kHandles{.least = 1, .most = kMostHandles};

Result<std::uint64_t> parse_count(std::string_view text, OptionRange range) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < range.least ||
      count > range.most) {
    return fail(EINVAL,
                fmt::format("'{}' is not a number from {} to {}", text, range.least, range.most));
  }
  return count;
}

Result<> set_threads(MountOptions& options, std::string_view text) {
  options.threads = SPILLFS_TRY(parse_count(text, kReceiveThreads));
  return {};
}

constexpr OptionRange kTimes{.least = 0, .most = 3'600'000};

Result<std::chrono::milliseconds> parse_time(std::string_view text) {
  std::string_view number = text;
  if (number.ends_with('s')) number.remove_suffix(1);
  double seconds = -1;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), seconds);
  if (error != std::errc() || end != number.data() + number.size() ||
      !(seconds >= 0 && seconds * 1000 <= static_cast<double>(kTimes.most))) {
    return fail(EINVAL, fmt::format("'{}' is not a time like '10s' (up to an hour)", text));
  }
  const std::chrono::milliseconds time(std::llround(seconds * 1000));
  if (seconds > 0 && time.count() == 0) {
    return fail(EINVAL,
                fmt::format("'{}' is less than a millisecond; write 0 where you mean none", text));
  }
  return time;
}

std::string show_time(std::chrono::milliseconds time) {
  return fmt::format("{}s", static_cast<double>(time.count()) / 1000);
}

Result<> set_space_wait(MountOptions& options, std::string_view text) {
  options.space_wait = SPILLFS_TRY(parse_time(text));
  return {};
}

constexpr std::string_view kInterval = "interval=";
constexpr std::chrono::milliseconds kShortestInterval{100};

Result<> set_durability(MountOptions& options, std::string_view text) {
  if (text.starts_with(kInterval)) {
    options.sync_interval = SPILLFS_TRY(parse_time(text.substr(kInterval.size())));
    if (options.sync_interval < kShortestInterval) {
      return fail(EINVAL, fmt::format("'{}' is shorter than 0.1s", text));
    }
    options.durability = Durability::kInterval;
    return {};
  }
  if (text != "process" && text != "fsync") {
    return fail(EINVAL, fmt::format("'{}' is not process, fsync or interval=SECONDS", text));
  }
  options.durability = text == "fsync" ? Durability::kFsync : Durability::kProcess;
  return {};
}

std::string show_durability(const MountOptions& options) {
  switch (options.durability) {
    case Durability::kProcess:
      return "process";
    case Durability::kFsync:
      return "fsync";
    case Durability::kInterval:
      return std::string(kInterval) + show_time(options.sync_interval);
  }
  return {};
}

constexpr std::array<std::string_view, 3> kWriteModes{"auto", "direct", "cached"};

Result<> set_write(MountOptions& options, std::string_view text) {
  options.write = static_cast<WriteMode>(SPILLFS_TRY(place_among(kWriteModes, text)));
  return {};
}

Result<bool> parse_yes_or_no(std::string_view text) {
  if (text == "yes" || text == "no") return text == "yes";
  return fail(EINVAL, fmt::format("'{}' is not yes or no", text));
}

OptionSpec yes_no_option(std::string_view name, std::string_view help, bool MountOptions::*field) {
  const auto set = [=](MountOptions& options, std::string_view text) -> Result<> {
    options.*field = SPILLFS_TRY(parse_yes_or_no(text));
    return {};
  };
  return {.name = name,
          .kind = OptionKind::kYesNo,
          .value = "YESNO",
          .fallback = "yes",
          .help = help,
          .set = set,
          .show = [=](const MountOptions& o) { return std::string(o.*field ? "yes" : "no"); },
          .words = {"yes", "no"}};
}

Result<> set_foreign_store(MountOptions& options, std::string_view text) {
  options.foreign_store = SPILLFS_TRY(parse_yes_or_no(text)) ? Foreign::kAdmit : Foreign::kRefuse;
  return {};
}

Result<> set_read_only(MountOptions& options, std::string_view text) {
  options.read_only = SPILLFS_TRY(parse_yes_or_no(text));
  return {};
}

Result<> set_without(MountOptions& options, std::string_view text) {
  options.without = SPILLFS_TRY(parse_features(text));
  return {};
}

Result<> set_data(MountOptions& options, std::string_view text) {
  options.data.clear();
  if (text.empty()) return {};  // the default
  options.data = split_list(text);
  if (std::count(options.data.begin(), options.data.end(), std::string()) == 0) return {};
  return fail(EINVAL, "an empty directory name; write data=DIR:DIR");
}

constexpr std::array<std::string_view, 5> kLevels{"debug", "info", "warning", "error", "off"};

Result<> set_log_level(MountOptions& options, std::string_view text) {
  SPILLFS_TRY(place_among(kLevels, text));
  options.log_level = text;
  return {};
}

Result<> set_reap(MountOptions& options, std::string_view text) {
  options.reap.reset();
  if (text != "off") options.reap = SPILLFS_TRY(parse_age(text));
  return {};
}

constexpr std::chrono::minutes kShortestScrub{1};

Result<> set_scrub_every(MountOptions& options, std::string_view text) {
  options.scrub_every = std::chrono::seconds(0);
  if (text == "off" || text == "0") return {};
  const auto every = SPILLFS_TRY(parse_age(text));
  if (every < kShortestScrub) {
    return fail(EINVAL, fmt::format("'{}' is shorter than 1m; 'off' is no scrub", text));
  }
  options.scrub_every = every;
  return {};
}

std::string show_scrub_every(const MountOptions& options) {
  return options.scrub_every.count() == 0 ? "off" : format_age(options.scrub_every);
}

Result<> set_boot(MountOptions& options, std::string_view text) {
  options.boot = static_cast<BootChoice>(SPILLFS_TRY(place_among(kBootChoices, text)));
  return {};
}

std::string show_boot(const MountOptions& options) {
  return std::string(kBootChoices.at(static_cast<std::size_t>(options.boot)));
}

constexpr std::array<std::string_view, 3> kLogs{"auto", "journal", "file"};

Result<> set_log(MountOptions& options, std::string_view text) {
  SPILLFS_TRY(place_among(kLogs, text));
  options.log = text;
  return {};
}

Set set_allow_other(bool value) {
  return [value](MountOptions& options, std::string_view) -> Result<> {
    options.allow_other = value;
    return {};
  };
}

std::string show_reserve(const MountOptions& options) {
  return options.index_reserve ? format_size(*options.index_reserve) : std::string(kAuto);
}

std::string show_write(const MountOptions& options) {
  return std::string(kWriteModes.at(static_cast<std::size_t>(options.write)));
}

std::string show_other(const MountOptions& options) {
  if (!options.allow_other) return std::string(kAuto);
  return *options.allow_other ? "yes" : "no";
}

std::vector<std::string_view> words_of_without() {
  std::vector<std::string_view> words{"none", "all"};
  words.insert(words.end(), kFeatureNames.begin(), kFeatureNames.end());
  return words;
}

template <class Words>
std::vector<std::string_view> words_of(const Words& words) {
  return {words.begin(), words.end()};
}

std::vector<OptionSpec> space_options() {
  using O = MountOptions;
  OptionSpec staging = size_option("staging", "64MiB", "memory for bytes that are not sealed yet",
                                   &O::staging, {kMiB, 16 * kGiB});
  staging.change = OptionChange::kAtMount;
  return {
      size_option("quota", "0", "bytes the mount may hold; 0: what the data directories hold",
                  &O::quota),
      size_option("user_quota", "0",
                  "bytes that each user's files may hold, but root's and the daemon's; 0: any "
                  "number",
                  &O::user_quota),
      {.name = "user_handles",
       .kind = OptionKind::kCount,
       .value = "N",
       .fallback = "65536",
       .help = "files that each user may have open at a time, but root and the daemon's user",
       .set = [](O& o, std::string_view text) -> Result<> {
         o.user_handles = SPILLFS_TRY(parse_count(text, kHandles));
         return {};
       },
       .show = [](const O& o) { return std::to_string(o.user_handles); },
       .range = kHandles},
      size_option("fuse_limit", "512KiB", "files up to this size share fused segments",
                  &O::fuse_limit, {0, kLargestFused}),
      size_option("segment_size", "64MiB", "size of a fused segment", &O::segment_size,
                  {kMiB, 4 * kGiB}),
      staging,
      size_option("pool", "1GiB", "dead segments kept for recycling", &O::pool),
      size_option("block_cache", "64MiB", "memory for the index's blocks", &O::block_cache,
                  {kMiB, 64 * kGiB}),
      {.name = "index_reserve",
       .kind = OptionKind::kSize,
       .value = "SIZE",
       .fallback = kAuto,
       .help = "space left free for the index; auto: the larger of 256MiB and 2 %",
       .set = set_index_reserve,
       .show = show_reserve,
       .words = {kAuto}},
  };
}

std::vector<OptionSpec> way_options() {
  using O = MountOptions;
  return {
      {.name = "write",
       .value = "MODE",
       .fallback = kAuto,
       .help = "how large files are written: cached, direct (past the page cache), auto (as memory "
               "is tight)",
       .set = set_write,
       .show = show_write,
       .words = words_of(kWriteModes)},
      size_option("write_behind", "1GiB",
                  "bytes of a cached file that may wait to be written to disk", &O::write_behind,
                  {.least = 16 * kMiB}),
      size_option("read_ahead", "4MiB",
                  "how far the kernel reads ahead where there is no passthrough", &O::read_ahead,
                  {0, kGiB}),
      yes_no_option("background_checksums",
                    "make the sums of files that were changed in place, after their last writer",
                    &O::background_checksums),
      size_option("checksum_rate", "128MiB",
                  "bytes a second that are read to make those sums, and to compare files after a "
                  "loss of power",
                  &O::checksum_rate, {.least = kMiB}),
      {.name = "durability",
       .value = "MODE",
       .fallback = "process",
       .help =
           "what survives a loss of power: process (what was fsynced), fsync (what was closed), "
           "interval=SECONDS (what was closed that long ago)",
       .set = set_durability,
       .show = show_durability,
       .words = {"process", "fsync", kInterval}},
  };
}

std::vector<OptionSpec> upkeep_options() {
  using O = MountOptions;
  return {
      {.name = "scrub_every",
       .value = "AGE",
       .fallback = "24h",
       .help = "how often the background scrub compares every byte with its sum (24h, 7d); or off",
       .set = set_scrub_every,
       .show = show_scrub_every,
       .words = {"off"}},
      size_option("scrub_rate", "16MiB",
                  "bytes a second that it compares at least, and more where scrub_every needs it; "
                  "0: no background scrub",
                  &O::scrub_rate),
      {.name = "reap",
       .value = "AGE",
       .fallback = "off",
       .help =
           "remove what runtimes that are gone left behind once it is that old (1h, 2d); or off",
       .set = set_reap,
       .show = [](const O& o) { return o.reap ? format_age(*o.reap) : std::string("off"); },
       .words = {"off"}},
      {.name = "boot",
       .value = "WHICH",
       .fallback = kAuto,
       .help =
           "whether the machine was booted, or lost its power, since the store was last mounted: "
           "same (no), new (yes), or auto (found out)",
       .set = set_boot,
       .show = show_boot,
       .words = words_of(kBootChoices),
       .change = OptionChange::kAtMount},
  };
}

std::vector<OptionSpec> daemon_options() {
  using O = MountOptions;
  return {
      {.name = "threads",
       .kind = OptionKind::kCount,
       .value = "N",
       .fallback = "8",
       .help = "threads that receive requests; one user's but root's take half of them at most",
       .set = set_threads,
       .show = [](const O& o) { return std::to_string(o.threads); },
       .range = kReceiveThreads},
      {.name = "space_wait",
       .kind = OptionKind::kTime,
       .value = "SECONDS",
       .fallback = "10s",
       .help = "how long a writer waits for reclaim before ENOSPC",
       .set = set_space_wait,
       .show = [](const O& o) { return show_time(o.space_wait); },
       .range = kTimes},
      {.name = "without",
       .kind = OptionKind::kList,
       .value = "NAME[:NAME…]",
       .fallback = "none",
       .help = "kernel features to leave unused: all, or of those that --version lists",
       .set = set_without,
       .show = [](const O& o) { return format_features(o.without); },
       .words = words_of_without(),
       .change = OptionChange::kAtMount},
      yes_no_option("sandbox",
                    "filter the system calls of the process that serves; debuggers of memory and "
                    "threads need no",
                    &O::sandbox),
      {.name = "data",
       .kind = OptionKind::kList,
       .value = "DIR[:DIR…]",
       .fallback = "STORE",
       .help = "data directories of a new store",
       .set = set_data,
       .show = [](const O& o) { return join_list(o.data); },
       .change = OptionChange::kAtMount},
      {.name = "foreign_store",
       .kind = OptionKind::kYesNo,
       .value = "YESNO",
       .fallback = "no",
       .help = "admit a store, data directories and what leads to them that other users own or may "
               "write",
       .set = set_foreign_store,
       .show = [](const O& o) { return o.foreign_store == Foreign::kAdmit ? "yes" : "no"; },
       .words = {"yes", "no"},
       .change = OptionChange::kAtMount},
  };
}

std::vector<OptionSpec> access_options() {
  using O = MountOptions;
  return {
      {.name = "read_only",
       .kind = OptionKind::kYesNo,
       .value = "YESNO",
       .fallback = "no",
       .help = "change nothing in the store: writers get EROFS",
       .set = set_read_only,
       .show = [](const O& o) { return o.read_only ? "yes" : "no"; },
       .words = {"yes", "no"},
       .change = OptionChange::kAtMount},
  };
}

std::vector<OptionSpec> user_options() {
  using O = MountOptions;
  return {
      {.name = "log_level",
       .value = "LEVEL",
       .fallback = "info",
       .help = "debug, info, warning, error or off",
       .set = set_log_level,
       .show = [](const O& o) { return o.log_level; },
       .words = words_of(kLevels)},
      {.name = "allow_other",
       .kind = OptionKind::kSwitch,
       .fallback = "for root",
       .help = "other users may use the mount, as its permissions say",
       .set = set_allow_other(true),
       .show = show_other,
       .change = OptionChange::kAtMount},
      {.name = "no_allow_other",
       .kind = OptionKind::kSwitch,
       .fallback = "for others",
       .help = "only the mounting user may use the mount",
       .set = set_allow_other(false),
       .change = OptionChange::kAtMount},
  };
}

Result<> set_metrics(MountOptions& options, std::string_view text) {
  if (text != kNone) SPILLFS_TRY(parse_metrics_address(text));
  options.metrics = text == kNone ? "" : text;
  return {};
}

Result<> set_metrics_file(MountOptions& options, std::string_view text) {
  if (text != kNone && !text.starts_with('/')) {
    return fail(EINVAL, fmt::format("'{}' is not an absolute path", text));
  }
  options.metrics_file = text == kNone ? "" : text;
  return {};
}

std::string shown_or_none(const std::string& text) {
  return text.empty() ? std::string(kNone) : text;
}

std::vector<OptionSpec> watch_options() {
  using O = MountOptions;
  return {
      {.name = "metrics",
       .value = "ADDRESS",
       .fallback = kNone,
       .help = "serve metrics over HTTP there: 127.0.0.1:PORT, [::1]:PORT or unix:/PATH",
       .set = set_metrics,
       .show = [](const O& o) { return shown_or_none(o.metrics); }},
      {.name = "metrics_file",
       .value = "PATH",
       .fallback = kNone,
       .help = "keep a file with the metrics, for node_exporter's textfile collector",
       .set = set_metrics_file,
       .show = [](const O& o) { return shown_or_none(o.metrics_file); }},
      {.name = "log",
       .value = "WHERE",
       .fallback = "auto",
       .help = "journal, file, or auto: the journal with -f under systemd, else the file",
       .set = set_log,
       .show = [](const O& o) { return o.log; },
       .words = words_of(kLogs),
       .change = OptionChange::kAtMount},
  };
}

std::vector<OptionSpec> make_table() {
  std::vector<OptionSpec> table = space_options();
  for (const auto& more : {way_options(), upkeep_options(), daemon_options(), access_options(),
                           user_options(), watch_options()}) {
    table.insert(table.end(), more.begin(), more.end());
  }
  return table;
}

}  // namespace

std::span<const OptionSpec> option_table() {
  static const std::vector<OptionSpec> table = make_table();
  return table;
}

std::string describe_range(const OptionSpec& spec) {
  const auto shown = [&](std::uint64_t value) {
    switch (spec.kind) {
      case OptionKind::kSize:
        return format_size(value);
      case OptionKind::kTime:
        return show_time(std::chrono::milliseconds(value));
      default:
        return std::to_string(value);
    }
  };
  const auto [least, most] = spec.range;
  if (most != OptionRange::kNoLimit) return fmt::format("{} to {}", shown(least), shown(most));
  return least == 0 ? "" : fmt::format("at least {}", shown(least));
}

std::string describe(const OptionSpec& spec) {
  const std::string range = describe_range(spec);
  return fmt::format("{}{}{}", spec.help, range.empty() ? "" : "; ", range);
}

std::string usage_of(const OptionSpec& spec) {
  if (spec.value.empty()) return std::string(spec.name);
  return fmt::format("{}={}", spec.name, spec.value);
}

}  // namespace spillfs::fs
