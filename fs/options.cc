// SPDX-License-Identifier: Apache-2.0
#include "fs/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

namespace spillfs::fs {
namespace {

constexpr std::uint64_t kLargestFused = 64 * kMiB;

using Set = std::function<Result<>(MountOptions&, std::string_view)>;

Set set_size(std::uint64_t MountOptions::*field, std::uint64_t least, std::uint64_t most) {
  return [=](MountOptions& options, std::string_view text) -> Result<> {
    const std::uint64_t size = SPILLFS_TRY(parse_size(text));
    if (size < least || size > most) {
      return fail(EINVAL, fmt::format("'{}' is not between {} and {}", text, format_size(least),
                                      format_size(most)));
    }
    options.*field = size;
    return {};
  };
}

std::function<std::string(const MountOptions&)> show_size(std::uint64_t MountOptions::*field) {
  return [=](const MountOptions& options) { return format_size(options.*field); };
}

constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

Result<> set_index_reserve(MountOptions& options, std::string_view text) {
  options.index_reserve = SPILLFS_TRY(parse_size(text));
  return {};
}

Result<> set_threads(MountOptions& options, std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1 || count > 64) {
    return fail(EINVAL, fmt::format("'{}' is not a number from 1 to 64", text));
  }
  options.threads = count;
  return {};
}

Result<std::chrono::milliseconds> parse_time(std::string_view text) {
  std::string_view number = text;
  if (number.ends_with('s')) number.remove_suffix(1);
  double seconds = -1;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), seconds);
  if (error != std::errc() || end != number.data() + number.size() ||
      !(seconds >= 0 && seconds <= 3600)) {
    return fail(EINVAL, fmt::format("'{}' is not a time like '10s' (up to an hour)", text));
  }
  return std::chrono::milliseconds(std::llround(seconds * 1000));
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
  const auto found = std::find(kWriteModes.begin(), kWriteModes.end(), text);
  if (found == kWriteModes.end()) {
    return fail(EINVAL, fmt::format("'{}' is not one of {}", text, fmt::join(kWriteModes, ", ")));
  }
  options.write = static_cast<WriteMode>(found - kWriteModes.begin());
  return {};
}

Result<> set_background_checksums(MountOptions& options, std::string_view text) {
  if (text != "yes" && text != "no")
    return fail(EINVAL, fmt::format("'{}' is not yes or no", text));
  options.background_checksums = text == "yes";
  return {};
}

Result<> set_without(MountOptions& options, std::string_view text) {
  options.without = SPILLFS_TRY(parse_features(text));
  return {};
}

Result<> set_data(MountOptions& options, std::string_view text) {
  options.data.clear();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    if (end == at) return fail(EINVAL, "an empty directory name; write data=DIR:DIR");
    options.data.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return {};
}

Result<> set_log_level(MountOptions& options, std::string_view text) {
  const std::string level(text);
  if (spdlog::level::from_str(level) == spdlog::level::off && level != "off") {
    return fail(EINVAL, fmt::format("'{}' is not one of debug, info, warning, error, off", text));
  }
  options.log_level = level;
  return {};
}

Set set_allow_other(bool value) {
  return [value](MountOptions& options, std::string_view) -> Result<> {
    options.allow_other = value;
    return {};
  };
}

std::string show_reserve(const MountOptions& options) {
  return options.index_reserve ? format_size(*options.index_reserve) : "auto";
}

std::vector<OptionSpec> make_table() {
  using O = MountOptions;
  const auto show_other = [](const O& o) {
    return std::string(!o.allow_other ? "auto" : *o.allow_other ? "yes" : "no");
  };
  return {
      {"quota", "SIZE", "0", "bytes the mount may hold; 0: what the data directories hold",
       set_size(&O::quota, 0, kNoLimit), show_size(&O::quota)},
      {"user_quota", "SIZE", "0",
       "bytes that each user's files may hold, but root's and the daemon's; 0: any number",
       set_size(&O::user_quota, 0, kNoLimit), show_size(&O::user_quota)},
      {"fuse_limit", "SIZE", "4MiB", "files up to this size share fused segments",
       set_size(&O::fuse_limit, 0, kLargestFused), show_size(&O::fuse_limit)},
      {"segment_size", "SIZE", "64MiB", "size of a fused segment",
       set_size(&O::segment_size, kMiB, 4 * kGiB), show_size(&O::segment_size)},
      {"staging", "SIZE", "64MiB", "memory for bytes that are not sealed yet",
       set_size(&O::staging, kMiB, 16 * kGiB), show_size(&O::staging)},
      {"pool", "SIZE", "1GiB", "dead segments kept for recycling", set_size(&O::pool, 0, kNoLimit),
       show_size(&O::pool)},
      {"block_cache", "SIZE", "64MiB", "memory for the index's blocks",
       set_size(&O::block_cache, kMiB, 64 * kGiB), show_size(&O::block_cache)},
      {"index_reserve", "SIZE", "auto",
       "space left free for the index; auto: the larger of 256MiB and 2 %", set_index_reserve,
       show_reserve},
      {"write", "MODE", "auto",
       "how large files are written: cached, direct (past the page cache), auto (as memory is "
       "tight)",
       set_write,
       [](const O& o) { return std::string(kWriteModes.at(static_cast<std::size_t>(o.write))); }},
      {"write_behind", "SIZE", "1GiB", "bytes of a cached file that may wait to be written to disk",
       set_size(&O::write_behind, 16 * kMiB, kNoLimit), show_size(&O::write_behind)},
      {"read_ahead", "SIZE", "4MiB", "how far the kernel reads ahead where there is no passthrough",
       set_size(&O::read_ahead, 0, kGiB), show_size(&O::read_ahead)},
      {"background_checksums", "YESNO", "yes",
       "make the sums of files that were changed in place, after their last writer",
       set_background_checksums,
       [](const O& o) { return std::string(o.background_checksums ? "yes" : "no"); }},
      {"durability", "MODE", "process",
       "what survives a loss of power: process (what was fsynced), fsync (what was closed), "
       "interval=SECONDS (what was closed that long ago)",
       set_durability, show_durability},
      {"scrub_rate", "SIZE", "16MiB",
       "bytes a second that the background scrub compares with their sums; 0: none",
       set_size(&O::scrub_rate, 0, kNoLimit), show_size(&O::scrub_rate)},
      {"threads", "N", "4", "threads that receive requests", set_threads,
       [](const O& o) { return std::to_string(o.threads); }},
      {"space_wait", "SECONDS", "10s", "how long a writer waits for reclaim before ENOSPC",
       set_space_wait, [](const O& o) { return show_time(o.space_wait); }},
      {"without", "NAME[:NAME…]", "none",
       "kernel features to leave unused: all, or of those that --version lists", set_without,
       [](const O& o) { return format_features(o.without); }},
      {"data", "DIR[:DIR…]", "STORE", "data directories of a new store", set_data,
       [](const O& o) { return fmt::format("{}", fmt::join(o.data, ":")); }},
      {"log_level", "LEVEL", "info", "debug, info, warning, error or off", set_log_level,
       [](const O& o) { return o.log_level; }},
      {"allow_other", "", "for root", "other users may use the mount, as its permissions say",
       set_allow_other(true), show_other},
      {"no_allow_other", "", "for others", "only the mounting user may use the mount",
       set_allow_other(false), nullptr},
  };
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

Failure unknown_option(std::string_view name) {
  const auto table = option_table();
  const auto nearest =
      std::min_element(table.begin(), table.end(), [&](const auto& a, const auto& b) {
        return edit_distance(name, a.name) < edit_distance(name, b.name);
      });
  return fail(EINVAL, fmt::format("unknown option '{}'; did you mean '{}'? 'spillfs mount --help' "
                                  "lists them all",
                                  name, nearest->name));
}

Result<> parse_option(std::string_view word, MountOptions& options) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const auto table = option_table();
  const auto spec =
      std::find_if(table.begin(), table.end(), [&](const auto& s) { return s.name == name; });
  if (spec == table.end()) return unknown_option(name);
  const bool has_value = equals != std::string_view::npos;
  if (has_value == spec->value.empty()) {
    return fail(EINVAL, has_value ? fmt::format("option '{}' takes no value", name)
                                  : fmt::format("option '{}' needs a value: {}={}", name, name,
                                                spec->value));
  }
  const auto set = spec->set(options, has_value ? word.substr(equals + 1) : "");
  if (set) return {};
  return fail(EINVAL, fmt::format("option '{}': {}", name, set.error().context));
}

}  // namespace

std::span<const OptionSpec> option_table() {
  static const std::vector<OptionSpec> table = make_table();
  return table;
}

Result<> parse_options(std::string_view text, MountOptions& options) {
  MountOptions changed = options;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma != 0) SPILLFS_TRY(parse_option(text.substr(0, comma), changed));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  options = std::move(changed);
  return {};
}

Result<MountOptions> parse_options(const std::vector<std::string>& texts) {
  MountOptions options;
  for (const std::string& text : texts) SPILLFS_TRY(parse_options(text, options));
  return options;
}

std::string format_options(const MountOptions& options) {
  std::string text;
  for (const OptionSpec& spec : option_table()) {
    if (spec.show) text += fmt::format("{}={}\n", spec.name, spec.show(options));
  }
  return text;
}

}  // namespace spillfs::fs
