// SPDX-License-Identifier: Apache-2.0
#include "storage/external/object_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace spillfs::storage::external {
namespace {

// urllib.parse.uses_netloc: with these schemes "file:/a" is the same as "file:///a".
constexpr auto kUsesNetloc = std::to_array<std::string_view>(
    {"ftp",     "http",  "gopher", "nntp",     "telnet",  "imap",  "wais",  "file",  "mms",
     "https",   "shttp", "snews",  "prospero", "rtsp",    "rtsps", "rtspu", "rsync", "svn",
     "svn+ssh", "sftp",  "nfs",    "git",      "git+ssh", "ws",    "wss"});
// urllib.parse.uses_params: with these an empty parameter, a ';' at the end, is dropped.
constexpr auto kUsesParams = std::to_array<std::string_view>(
    {"", "ftp", "hdl", "prospero", "http", "imap", "https", "shttp", "rtsp", "rtsps", "rtspu",
     "sip", "sips", "mms", "sftp", "tel"});

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& all, std::string_view one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct SplitUrl {
  std::string scheme;
  std::string netloc;
  std::string path;
  std::string query;
};

// What urlsplit does before it looks at a url.
std::string cleaned(std::string_view url) {
  const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  const auto* const start = std::find_if_not(url.begin(), url.end(), is_blank);
  std::string text(start, url.end());
  std::erase_if(text, [](char c) { return c == '\t' || c == '\r' || c == '\n'; });
  return text;
}

// Takes "scheme:" off the front of `text`, if there is one.
std::string take_scheme(std::string_view& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || !is_letter(text[0])) return {};
  std::string scheme(text.substr(0, colon));
  for (char& c : scheme) {
    if (!is_letter(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return {};
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  text.remove_prefix(colon + 1);
  return scheme;
}

// Nothing where Python says "Invalid IPv6 URL".
std::optional<SplitUrl> split(std::string_view url) {
  const std::string clean = cleaned(url);
  std::string_view text = clean;
  SplitUrl parts;
  parts.scheme = take_scheme(text);
  if (text.starts_with("//")) {
    const std::size_t end = std::min(text.find_first_of("/?#", 2), text.size());
    parts.netloc = text.substr(2, end - 2);
    text.remove_prefix(end);
    const bool opens = parts.netloc.find('[') != std::string::npos;
    const bool closes = parts.netloc.find(']') != std::string::npos;
    if (opens != closes) return std::nullopt;
  }
  text = text.substr(0, text.find('#'));
  const std::size_t question = std::min(text.find('?'), text.size());
  parts.path = text.substr(0, question);
  if (question < text.size()) parts.query = text.substr(question + 1);
  return parts;
}

// What geturl() puts before the query.
std::string join(const SplitUrl& parts) {
  std::string path = parts.path;
  if (contains(kUsesParams, parts.scheme)) {
    const std::size_t slash = path.rfind('/');
    const std::size_t semicolon = path.find(';', slash == std::string::npos ? 0 : slash);
    if (semicolon != std::string::npos && semicolon + 1 == path.size()) path.pop_back();
  }
  const bool has_host_part = !parts.scheme.empty() && contains(kUsesNetloc, parts.scheme);
  if (!parts.netloc.empty() || (has_host_part && !path.starts_with("//"))) {
    const bool joined = path.empty() || path[0] == '/';
    path = fmt::format("//{}{}{}", parts.netloc, joined ? "" : "/", path);
  }
  return parts.scheme.empty() ? path : parts.scheme + ":" + path;
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unquoted(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return percent_decoded(spaced);
}

// The first value of `name` that is not empty.
std::optional<std::string> field(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals + 1 == pair.size()) continue;
    if (unquoted(pair.substr(0, equals)) == name) return unquoted(pair.substr(equals + 1));
  }
  return std::nullopt;
}

// As Python's int(), of what fits: blanks around it, a sign, single '_' between digits.
std::optional<std::uint64_t> to_number(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\v\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return std::nullopt;
  text = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between = text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_';
    if (!between) digits += text[i];
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (negative && value != 0) return std::nullopt;
  return value;
}

std::optional<ObjectUrl> parse(std::string_view url) {
  const auto parts = split(url);
  if (!parts) return std::nullopt;
  const auto offset = field(parts->query, "offset");
  const auto size = field(parts->query, "size");
  const auto offset_value = offset ? to_number(*offset) : std::nullopt;
  const auto size_value = size ? to_number(*size) : std::nullopt;
  if (!offset_value || !size_value) return std::nullopt;
  return ObjectUrl{.base = join(*parts), .offset = *offset_value, .size = *size_value};
}

}  // namespace

std::string create_url_with_offset(std::string_view base, std::uint64_t offset,
                                   std::uint64_t size) {
  return fmt::format("{}?offset={}&size={}", base, offset, size);
}

Result<ObjectUrl> parse_url_with_offset(std::string_view url) {
  auto parsed = parse(url);
  if (!parsed) return fail(EINVAL, fmt::format("Failed to parse URL: {}", url));
  return *std::move(parsed);
}

std::string percent_decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    plain += low >= 0 ? static_cast<char>(high * 16 + low) : text[i];
    if (low >= 0) i += 2;
  }
  return plain;
}

bool survives_parsing(std::string_view base) {
  const auto parsed = parse(create_url_with_offset(base, 0, 0));
  return parsed && parsed->base == base;
}

}  // namespace spillfs::storage::external
