// SPDX-License-Identifier: Apache-2.0
#include "fs/config/config_file.h"

#include <fmt/format.h>

// toml++ 3.3 asserts that "[" is followed by a key, and then reports the error where it is not.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "fs/config/nearest_name.h"
#include "fs/config/ray_config.h"
#include "storage/base/trusted_directory.h"

namespace spillfs::fs {
namespace {

namespace files = std::filesystem;

constexpr std::size_t kMost = kMiB;
constexpr std::string_view kStore = "store";
constexpr std::string_view kMountpoint = "mountpoint";
constexpr std::string_view kRay = "object_spilling_config";
constexpr std::string_view kHiddenByte = "\xf4\x80";  // and two bytes of UTF-8 more
constexpr std::string_view kSawHiddenByte = "saw '\xf4\x80";

// What a value has to be, for who wrote another.
std::string wanted(const OptionSpec& spec) {
  const std::string range = describe_range(spec);
  const std::string in = range.empty() ? "" : fmt::format(" ({})", range);
  switch (spec.kind) {
    case OptionKind::kSize:
      return fmt::format("a size like \"64MiB\", or a whole number of bytes{}", in);
    case OptionKind::kTime:
      return fmt::format("a time like \"10s\", or a number of seconds{}", in);
    case OptionKind::kCount:
      return fmt::format("a whole number{}", in);
    case OptionKind::kYesNo:
    case OptionKind::kSwitch:
      return "true or false";
    case OptionKind::kList:
      return "a list of strings, or one string with colons in between";
    case OptionKind::kWord:
      return "a string";
  }
  return {};
}

// When toml++ 3.3 looks for white space, what it does with some characters beyond ASCII is not
// defined (is_non_ascii_horizontal_whitespace()). So it gets U+100080 to U+1000FF in place of
// bytes, with which it is right; none of the characters is in a file that is hidden like that.
std::string hide_bytes(std::string_view text) {
  std::string hidden;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      hidden += c;
    } else {
      hidden += {kHiddenByte[0], kHiddenByte[1], static_cast<char>(0x80 | byte >> 6),
                 static_cast<char>(0x80 | (byte & 0x3f))};
    }
  }
  return hidden;
}

std::string show_bytes(std::string_view hidden) {
  constexpr std::size_t kLength = 4;
  std::string text;
  for (std::size_t at = 0; at < hidden.size();) {
    const std::string_view rest = hidden.substr(at, kLength);
    if (rest.size() == kLength && rest.starts_with(kHiddenByte)) {
      text += static_cast<char>((rest[2] & 0x3) << 6 | (rest[3] & 0x3f));
      at += kLength;
    } else {
      text += hidden[at++];
    }
  }
  return text;
}

std::optional<std::string> string_of(const toml::node& node) {
  const auto* text = node.as_string();
  return text == nullptr ? std::nullopt : std::optional(show_bytes(text->get()));
}

std::optional<std::string> list_text(const toml::node& node) {
  if (node.is_string()) return string_of(node);
  if (!node.is_array()) return std::nullopt;
  std::vector<std::string> words;
  for (const toml::node& part : *node.as_array()) {
    const auto word = string_of(part);
    if (!word) return std::nullopt;
    words.push_back(*word);
  }
  return join_list(words);
}

// The value as it would stand behind -o; nothing where it is of a wrong type.
std::optional<std::string> value_text(const OptionSpec& spec, const toml::node& node) {
  const auto number = node.value_exact<std::int64_t>();
  const auto real = node.value_exact<double>();
  const auto truth = node.value_exact<bool>();
  auto text = string_of(node);
  switch (spec.kind) {
    case OptionKind::kSize:
      return number ? std::to_string(*number) : text;
    case OptionKind::kTime:
      return number ? std::to_string(*number) : real ? fmt::format("{}", *real) : text;
    case OptionKind::kCount:
      return number ? std::optional(std::to_string(*number)) : std::nullopt;
    case OptionKind::kYesNo:
    case OptionKind::kSwitch:
      return truth ? (*truth ? "yes" : "no") : text;
    case OptionKind::kList:
      return list_text(node);
    case OptionKind::kWord:
      return text;
  }
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : folder_(files::path(path).parent_path()) {
    file_.path = path;
  }

  Result<ConfigFile> read(const toml::table& table) {
    for (const auto& [key, node] : table) SPILLFS_TRY(take(key.str(), node));
    return std::move(file_);
  }

 private:
  [[nodiscard]] std::string place(const toml::node& node) const {
    return fmt::format("{}:{}", file_.path, node.source().begin.line);
  }
  [[nodiscard]] Failure wrong(const toml::node& node, const std::string& what) const {
    return fail(EINVAL, fmt::format("{}: {}", place(node), what));
  }
  [[nodiscard]] std::string whole(const std::string& name) const {
    return (folder_ / name).lexically_normal().string();
  }

  Result<> take(std::string_view key, const toml::node& node);
  Result<> take_path(std::string_view key, const toml::node& node, std::string& path,
                     std::string& origin);
  Result<> take_ray_config(const toml::node& node);
  Result<> take_option(const OptionSpec& spec, const toml::node& node);
  Result<> add(const toml::node& node, std::string text);
  [[nodiscard]] Failure unknown(std::string_view key, const toml::node& node) const;

  files::path folder_;
  ConfigFile file_;
};

Result<> Reader::take(std::string_view key, const toml::node& node) {
  if (key == kStore) return take_path(key, node, file_.store, file_.store_origin);
  if (key == kMountpoint) return take_path(key, node, file_.mountpoint, file_.mountpoint_origin);
  if (key == kRay) return take_ray_config(node);
  for (const OptionSpec& spec : option_table()) {
    if (spec.show && spec.name == key) return take_option(spec, node);
  }
  return unknown(key, node);
}

Result<> Reader::take_path(std::string_view key, const toml::node& node, std::string& path,
                           std::string& origin) {
  const auto text = string_of(node);
  if (!text || text->empty()) return wrong(node, fmt::format("{} is a directory's name", key));
  if (!path.empty()) return wrong(node, fmt::format("there is a store in {} already", kRay));
  path = whole(*text);
  origin = place(node);
  return {};
}

Result<> Reader::take_ray_config(const toml::node& node) {
  const auto text = string_of(node);
  if (!text) return wrong(node, fmt::format("{} is a string with Ray's JSON", kRay));
  if (!file_.store.empty()) return wrong(node, "there is a store already");
  const auto ray = parse_ray_config(*text);
  if (!ray) return wrong(node, ray.error().context);
  file_.store = whole(ray->store);
  file_.store_origin = place(node);
  std::vector<std::string> data;
  for (const std::string& folder : ray->data) data.push_back(whole(folder));
  return data.empty() ? Result<>() : add(node, option_text("data", join_list(data)));
}

Result<> Reader::take_option(const OptionSpec& spec, const toml::node& node) {
  auto text = value_text(spec, node);
  if (!text) return wrong(node, fmt::format("{} takes {}", spec.name, wanted(spec)));
  if (spec.kind == OptionKind::kSwitch) {
    if (*text == "yes") return add(node, std::string(spec.name));
    if (*text == "no") return add(node, fmt::format("no_{}", spec.name));
    return wrong(node, fmt::format("{} takes {}", spec.name, wanted(spec)));
  }
  if (spec.name == "data" && !text->empty()) {
    std::vector<std::string> folders = split_list(*text);
    for (std::string& folder : folders) folder = folder.empty() ? folder : whole(folder);
    text = join_list(folders);
  }
  if (spec.name == "without" && text->empty()) text = "none";
  return add(node, option_text(spec.name, *text));
}

Result<> Reader::add(const toml::node& node, std::string text) {
  MountOptions ignored;
  file_.options.push_back({.text = std::move(text), .origin = place(node)});
  const auto parsed = parse_options(file_.options.back().text, ignored);
  return parsed ? Result<>() : wrong(node, parsed.error().context);
}

Failure Reader::unknown(std::string_view key, const toml::node& node) const {
  std::vector<std::string_view> names{kStore, kMountpoint, kRay};
  for (const OptionSpec& spec : option_table()) {
    if (spec.show) names.push_back(spec.name);
  }
  const std::string nearest = did_you_mean(key, names);
  return wrong(node, fmt::format("unknown key '{}'{}", show_bytes(key),
                                 nearest.empty() ? "; spillfs.toml(5) lists them all" : nearest));
}

nlohmann::json as_json(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    nlohmann::json all = nlohmann::json::array();
    for (const toml::node& part : *array) all.push_back(as_json(part));
    return all;
  }
  if (const auto number = node.value_exact<std::int64_t>()) return *number;
  if (const auto truth = node.value_exact<bool>()) return *truth;
  return node.value_or(std::string());
}

}  // namespace

Result<ConfigFile> parse_config(std::string_view text, const std::string& path) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  try {
    return Reader(path).read(toml::parse(hide_bytes(text)));
  } catch (const toml::parse_error& problem) {
    std::string what = show_bytes(problem.description());
    if (problem.description().find(kSawHiddenByte) != std::string_view::npos) {
      what = "characters beyond ASCII can stand in strings and comments only";
    }
    return fail(EINVAL, fmt::format("{}:{}: {}", path, problem.source().begin.line, what));
  }
}

Result<ConfigFile> read_config_file(const std::string& path) {
  std::error_code error;
  const std::string whole = files::absolute(path, error).lexically_normal().string();
  const Fd file = SPILLFS_TRY(open_trusted_file(whole, Trust::of_caller()));
  const auto text = read_all(file, kMost, whole);
  if (!text && text.error().code == EFBIG) {
    return fail(EFBIG, whole + " is no configuration file: it has more than a MiB");
  }
  if (!text) return Failure(text.error());
  return parse_config(*text, whole);
}

Result<std::string> config_as_json(std::string_view text) {
  constexpr std::string_view kComment = "  # ";
  nlohmann::json all = nlohmann::json::object();
  std::istringstream lines{std::string(text)};
  try {
    for (std::string line; std::getline(lines, line);) {
      const std::size_t comment = line.rfind(kComment);
      if (comment == std::string::npos) continue;
      for (const auto& [key, node] : toml::parse(line)) {
        all[std::string(key.str())] = {{"value", as_json(node)},
                                       {"from", line.substr(comment + kComment.size())}};
      }
    }
  } catch (const toml::parse_error& problem) {
    return fail(EINVAL, fmt::format("the configuration does not parse: {}", problem.description()));
  }
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace spillfs::fs
