// SPDX-License-Identifier: Apache-2.0
#include "fs/config/config_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "storage/base/escaped.h"

namespace spillfs::fs {
namespace {

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + '"';
}

std::string quoted_list(std::string_view words) {
  if (words.empty()) return "[]";
  std::vector<std::string> parts;
  for (const std::string& word : split_list(words)) parts.push_back(toml_string(word));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string as_toml(const OptionSpec& spec, const std::string& value) {
  switch (spec.kind) {
    case OptionKind::kCount:
      return value;
    case OptionKind::kYesNo:
    case OptionKind::kSwitch:
      return value == "yes" ? "true" : "false";
    case OptionKind::kList:
      return quoted_list(value);
    default:
      return toml_string(value);
  }
}

std::string line(std::string_view name, const std::string& value, std::string_view origin) {
  return fmt::format("{:<38}  # {}\n", fmt::format("{} = {}", name, value), one_line(origin));
}

}  // namespace

std::string config_text(const MountOptions& options, const ConfigText& more) {
  MountOptions shown = options;
  shown.allow_other = others_may_use(options);
  if (shown.data.empty()) shown.data = more.data;
  if (more.read_ahead && *more.read_ahead != shown.read_ahead) {
    shown.read_ahead = *more.read_ahead;
    shown.origins["read_ahead"] = "the kernel";
  }
  std::string text;
  if (!more.store.empty()) text += line("store", toml_string(more.store), more.store_origin);
  if (!more.mountpoint.empty()) {
    text += line("mountpoint", toml_string(more.mountpoint), more.mountpoint_origin);
  }
  for (const OptionSpec& spec : option_table()) {
    if (!spec.show) continue;
    const auto origin = shown.origins.find(spec.name);
    text += line(spec.name, as_toml(spec, spec.show(shown)),
                 origin == shown.origins.end() ? "default" : origin->second);
  }
  return text;
}

}  // namespace spillfs::fs
