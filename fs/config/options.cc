// SPDX-License-Identifier: Apache-2.0
#include "fs/config/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "fs/config/nearest_name.h"

namespace spillfs::fs {
namespace {

// The parts between separators. A backslash that stands before a separator or a backslash makes it
// part of what is written.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escapes = text[at] == '\\' && at + 1 < text.size() &&
                         (text[at + 1] == separator || text[at + 1] == '\\');
    if (escapes) ++at;
    if (text[at] == separator && !escapes) {
      parts.emplace_back();
    } else {
      parts.back().push_back(text[at]);
    }
  }
  return parts;
}

std::string escaped(std::string_view text, char separator) {
  std::string out;
  for (char c : text) {
    if (c == separator || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

Failure unknown_option(std::string_view name) {
  std::vector<std::string_view> names;
  for (const OptionSpec& spec : option_table()) names.push_back(spec.name);
  const std::string nearest = did_you_mean(name, names);
  return fail(EINVAL, fmt::format("unknown option '{}'{} 'spillfs mount --help' lists them all",
                                  name, nearest.empty() ? ";" : nearest));
}

void leave_the_store_alone(MountOptions& options) {
  options.reap.reset();
  options.background_checksums = false;
  options.scrub_every = std::chrono::seconds{0};  // what it finds it would have to note
}

Result<> parse_option(std::string_view word, MountOptions& options, std::string_view origin) {
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
  if (set) {
    options.origins[std::string(name == "no_allow_other" ? "allow_other" : name)] = origin;
    return {};
  }
  return fail(EINVAL, fmt::format("option '{}': {}", name, set.error().context));
}

}  // namespace

bool others_may_use(const MountOptions& options) {
  return options.allow_other.value_or(::geteuid() == 0);
}

std::vector<std::string> split_options(std::string_view text) { return split(text, ','); }

std::vector<std::string> split_list(std::string_view text) { return split(text, ':'); }

std::string join_list(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words) parts.push_back(escaped(word, ':'));
  return fmt::format("{}", fmt::join(parts, ":"));
}

std::string option_text(std::string_view name, std::string_view value) {
  return fmt::format("{}={}", name, escaped(value, ','));
}

Result<> parse_options(std::string_view text, MountOptions& options, std::string_view origin) {
  MountOptions changed = options;
  for (const std::string& word : split_options(text)) {
    if (!word.empty()) SPILLFS_TRY(parse_option(word, changed, origin));
  }
  options = std::move(changed);
  return {};
}

Result<MountOptions> parse_options(const std::vector<GivenOption>& given) {
  MountOptions options;
  for (const auto& [text, origin] : given) {
    const auto parsed = parse_options(text, options, origin);
    if (parsed) continue;
    if (origin == kFromCommandLine) return tl::unexpected(parsed.error());
    return fail(parsed.error().code, fmt::format("{}: {}", origin, parsed.error().context));
  }
  if (options.read_only) leave_the_store_alone(options);
  return options;
}

}  // namespace spillfs::fs
